# libtorch, found once for all that uses it:
#   longrun_torch              an interface target: headers, libraries, definitions, OpenMP; defines
#                              LR_CUDA_RUNTIME where CUDA's own headers are there for one with CUDA
#   longrun_use_torch(TARGET)  links it and reuses the one precompiled <torch/torch.h> (+ c10d)
#
# A libtorch given by -DTorch_DIR=… or -DCMAKE_PREFIX_PATH=… (say, one with CUDA) comes first;
# otherwise the system's (Debian: libtorch-dev, libgloo-dev), whose own TorchConfig asks for
# development packages that nothing here needs, and is therefore passed by.
include_guard(GLOBAL)

find_package(OpenMP REQUIRED)  # at::parallel_for is an inline template that needs the compiler's

add_library(longrun_torch INTERFACE)
if(Torch_DIR OR CMAKE_PREFIX_PATH)
  find_package(Torch QUIET)
endif()
if(TORCH_FOUND)
  separate_arguments(longrun_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
  target_compile_options(longrun_torch INTERFACE ${longrun_torch_flags})
  target_include_directories(longrun_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  target_link_libraries(longrun_torch INTERFACE ${TORCH_LIBRARIES})
  # How much memory of a device is free, CUDA itself alone can tell.
  if(TARGET torch_cuda)
    find_package(CUDAToolkit QUIET)
    if(CUDAToolkit_FOUND)
      target_compile_definitions(longrun_torch INTERFACE LR_CUDA_RUNTIME)
      target_link_libraries(longrun_torch INTERFACE CUDA::cudart)
    endif()
  endif()
else()
  find_path(LONGRUN_TORCH_API_DIR torch/torch.h PATH_SUFFIXES torch/csrc/api/include)
  find_path(LONGRUN_TORCH_DIR ATen/ATen.h)
  find_library(LONGRUN_TORCH_LIB torch)
  find_library(LONGRUN_TORCH_CPU_LIB torch_cpu)
  find_library(LONGRUN_C10_LIB c10)
  if(NOT LONGRUN_TORCH_API_DIR OR NOT LONGRUN_TORCH_DIR OR NOT LONGRUN_TORCH_LIB
     OR NOT LONGRUN_TORCH_CPU_LIB OR NOT LONGRUN_C10_LIB)
    message(FATAL_ERROR "libtorch was not found. On Debian: apt-get install libtorch-dev. Elsewhere: "
                        "-DCMAKE_PREFIX_PATH=/path/to/libtorch. Without training: "
                        "-DLONGRUN_WITH_TORCH=OFF")
  endif()
  target_include_directories(longrun_torch SYSTEM INTERFACE ${LONGRUN_TORCH_API_DIR}
                                                            ${LONGRUN_TORCH_DIR})
  target_link_libraries(longrun_torch INTERFACE ${LONGRUN_TORCH_LIB} ${LONGRUN_TORCH_CPU_LIB}
                                                ${LONGRUN_C10_LIB})
endif()
target_link_libraries(longrun_torch INTERFACE OpenMP::OpenMP_CXX)

find_path(LONGRUN_GLOO_DIR gloo/algorithm.h)
if(LONGRUN_GLOO_DIR)
  target_compile_definitions(longrun_torch INTERFACE USE_C10D_GLOO)
else()
  message(FATAL_ERROR "gloo's headers were not found. On Debian: apt-get install libgloo-dev")
endif()

# The headers take longer to compile than what includes them: they are compiled once, here.
file(WRITE ${CMAKE_BINARY_DIR}/torch_pch.cc.in "// Carries the precompiled headers.\n")
configure_file(${CMAKE_BINARY_DIR}/torch_pch.cc.in ${CMAKE_BINARY_DIR}/torch_pch.cc COPYONLY)
add_library(longrun_torch_pch STATIC ${CMAKE_BINARY_DIR}/torch_pch.cc)
target_link_libraries(longrun_torch_pch PRIVATE longrun_torch longrun_options)
target_compile_options(longrun_torch_pch PRIVATE -fPIC -fpch-preprocess)
target_precompile_headers(longrun_torch_pch PRIVATE
  <torch/torch.h>
  <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
  <torch/csrc/distributed/c10d/TCPStore.hpp>)

function(longrun_use_torch TARGET)
  # -fPIC in programs too (they would get -fPIE): a precompiled header serves one kind alone.
  target_compile_options(${TARGET} PRIVATE -fPIC -fpch-preprocess)
  target_link_libraries(${TARGET} PRIVATE longrun_torch)
  target_precompile_headers(${TARGET} REUSE_FROM longrun_torch_pch)
endfunction()
