# The serving engine's core on virtual time, with an executor that remembers what is in each block:
# thousands of seeds.
add_library(longrun_serving_simulation STATIC
  ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/checkers.cc
  ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/reference.cc
  ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/scenario.cc
  ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/simulated_constraint.cc
  ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/simulated_executor.cc
  ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/simulation.cc)
target_include_directories(longrun_serving_simulation PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(longrun_serving_simulation PUBLIC longrun_serving_engine
                                                 PRIVATE longrun_options)

add_executable(serving_simulation_test
               ${CMAKE_CURRENT_LIST_DIR}/serving_simulation/simulation_test.cc)
set_target_properties(serving_simulation_test PROPERTIES
                      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(serving_simulation_test PRIVATE longrun_options longrun_serving_simulation
                                              GTest::gtest)
add_test(NAME serving_simulation_test COMMAND serving_simulation_test)
set_tests_properties(serving_simulation_test PROPERTIES TIMEOUT 600)
