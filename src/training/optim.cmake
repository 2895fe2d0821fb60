# Optimizers, schedule and clipping. Included by this folder's CMakeLists.txt.
longrun_library(optim
  SOURCES clip.cc optimizer.cc optimizer_loops.cc schedule.cc
  DEPS longrun_model longrun_base absl::status absl::statusor)
longrun_use_torch(longrun_optim)
# The widest vectors and the plain ones must give the same bits: a run may move between machines.
set_source_files_properties(optimizer_loops.cc clip.cc PROPERTIES
  COMPILE_OPTIONS "-O3;-ffp-contract=off;-fno-math-errno;-fno-trapping-math")
set_source_files_properties(optimizer_loops.cc PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
set_source_files_properties(clip.cc PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
longrun_test(optim_test
  SOURCES clip_test.cc optimizer_test.cc schedule_test.cc
  DEPS longrun_optim longrun_model longrun_base)
if(TARGET optim_test)
  longrun_use_torch(optim_test)
endif()
