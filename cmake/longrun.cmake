# Compiler settings and the three ways a folder declares what it builds:
#   longrun_library(NAME SOURCES … DEPS …)     a static library longrun_NAME
#   longrun_binary(NAME SOURCES … DEPS …)      an executable in build/bin
#   longrun_test(NAME SOURCES … DEPS … [LABELS …] [TIMEOUT seconds])   a GoogleTest, run by ctest

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Invariants stay checked in release: CHECK never depends on NDEBUG, and neither does the speed.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(LONGRUN_CCACHE ccache)
if(LONGRUN_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_NOHASHDIR=1 ${LONGRUN_CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(PkgConfig REQUIRED)
if(LONGRUN_WITH_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

add_library(longrun_options INTERFACE)
# -Wno-restrict: GCC 12 sees overlaps in std::string's operator+ that are none (PR 105651).
target_compile_options(longrun_options INTERFACE -Wno-restrict -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers
                                                 -Wnon-virtual-dtor -Woverloaded-virtual)
if(LONGRUN_WITH_FUZZERS)  # clang, which knows other warnings
  target_compile_options(longrun_options INTERFACE -fsanitize=fuzzer-no-link
                                                   -Wno-unknown-warning-option)
endif()
target_include_directories(longrun_options INTERFACE ${CMAKE_SOURCE_DIR}/src
                                                     ${CMAKE_SOURCE_DIR}/include)
target_link_libraries(longrun_options INTERFACE Threads::Threads)
if(LONGRUN_SANITIZE)
  target_compile_options(longrun_options INTERFACE -fsanitize=${LONGRUN_SANITIZE}
                                                   -fno-omit-frame-pointer
                                                   -fno-sanitize-recover=all)
  target_link_options(longrun_options INTERFACE -fsanitize=${LONGRUN_SANITIZE})
endif()

# What tests find in their environment: the binaries, the source.
set(LONGRUN_TEST_ENVIRONMENT
    "LONGRUN_BIN=${CMAKE_BINARY_DIR}/bin;LONGRUN_SOURCE=${CMAKE_SOURCE_DIR}")
if(LONGRUN_SANITIZE MATCHES thread)
  list(APPEND LONGRUN_TEST_ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp")
endif()

function(longrun_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(longrun_${NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(longrun_${NAME} PUBLIC ${ARG_DEPS} PRIVATE longrun_options)
  target_include_directories(longrun_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src
                                                    ${CMAKE_SOURCE_DIR}/include)
endfunction()

function(longrun_binary NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE longrun_options ${ARG_DEPS})
endfunction()

function(longrun_test NAME)
  if(NOT LONGRUN_WITH_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${NAME} PRIVATE longrun_options ${ARG_DEPS} GTest::gtest GTest::gmock
                                        GTest::gtest_main)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${NAME} COMMAND ${NAME})
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
                       ENVIRONMENT "${LONGRUN_TEST_ENVIRONMENT}")
endfunction()
