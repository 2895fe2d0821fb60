if(TARGET longrun_simulation)
  longrun_binary(simulation_bench
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/simulation_bench.cc
    DEPS longrun_simulation)
endif()
