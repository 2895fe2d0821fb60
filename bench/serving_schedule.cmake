longrun_binary(serving_schedule_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/serving_schedule_bench.cc
               DEPS longrun_serving_engine)
