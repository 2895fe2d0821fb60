longrun_binary(loading_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/loading_bench.cc
               DEPS longrun_serving_execute)
