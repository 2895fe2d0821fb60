longrun_binary(serving_throughput SOURCES ${CMAKE_CURRENT_LIST_DIR}/serving_throughput.cc
               DEPS longrun_serving_execute)
if(LONGRUN_WITH_TORCH)
  target_compile_definitions(serving_throughput PRIVATE LR_BENCH_TORCH)
  target_link_libraries(serving_throughput PRIVATE longrun_serving_execute_torch)
endif()
