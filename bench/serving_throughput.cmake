longrun_binary(serving_throughput SOURCES ${CMAKE_CURRENT_LIST_DIR}/serving_throughput.cc
               DEPS longrun_serving_execute)
