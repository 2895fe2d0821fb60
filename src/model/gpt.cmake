# The GPT on libtorch. Included by this folder's CMakeLists.txt.
include(torch)
longrun_library(threads SOURCES threads.cc DEPS absl::strings)  # training and serving set them
longrun_use_torch(longrun_threads)
# The same loops for each vector unit; cpu_loops_best.cc picks one when the program runs.
set(longrun_loops plain)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND longrun_loops avx2 avx512 avx512_bf16)
  set(longrun_loops_avx2 -march=x86-64-v3)
  set(longrun_loops_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
  # GCC 12 takes its own intrinsics' "undefined" operands for mistakes of the caller.
  set(longrun_loops_avx512_bf16 ${longrun_loops_avx512} -mavx512bf16 -Wno-maybe-uninitialized)
  set_source_files_properties(cpu_loops_best.cc PROPERTIES COMPILE_DEFINITIONS LR_X86_LOOPS)
endif()
foreach(kind ${longrun_loops})
  add_library(longrun_loops_${kind} STATIC cpu_loops.cc)
  target_compile_definitions(longrun_loops_${kind} PRIVATE LR_LOOPS=${kind})
  # Sums marked "omp simd" go by lanes: an order fixed when compiled, so the same in every run.
  target_compile_options(longrun_loops_${kind} PRIVATE
    -O3 ${longrun_loops_${kind}} -fopenmp-simd -fno-math-errno -fno-trapping-math)
  target_link_libraries(longrun_loops_${kind} PRIVATE longrun_options)
  list(APPEND longrun_loops_targets longrun_loops_${kind})
endforeach()
longrun_library(model
  SOURCES cpu_loops_best.cc cpu_ops.cc flat_parameters.cc gpt.cc gpt_config.cc gpt_step.cc
          hf_folder.cc sample.cc tensor_ops.cc
  DEPS ${longrun_loops_targets} longrun_base longrun_text absl::status absl::statusor)
longrun_use_torch(longrun_model)
set_source_files_properties(cpu_loops_best.cc PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
longrun_test(model_test
  SOURCES gpt_test.cc gpt_gradient_test.cc hf_folder_test.cc sample_test.cc
  DEPS longrun_model longrun_base)
if(TARGET model_test)
  longrun_use_torch(model_test)
endif()
