# The whole control loop over a simulated fleet, thousands of seeds: docs/simulation.md. Two halves, so
# that two cores share the work.
add_library(longrun_simulation STATIC
  ${CMAKE_CURRENT_LIST_DIR}/simulation/accounts_checker.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/ends.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/gang_checker.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/scenario.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/simulation.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/slot_checker.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/stale_checker.cc
  ${CMAKE_CURRENT_LIST_DIR}/simulation/step_checker.cc)
target_include_directories(longrun_simulation PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(longrun_simulation PUBLIC longrun_control longrun_simulated
                                         PRIVATE longrun_options)

add_executable(simulation_test ${CMAKE_CURRENT_LIST_DIR}/simulation/simulation_test.cc)
set_target_properties(simulation_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_link_libraries(simulation_test PRIVATE longrun_options longrun_simulation GTest::gtest)
foreach(half 1 2)
  math(EXPR first "(${half} - 1) * 6000 + 1")
  add_test(NAME simulation_test_${half}
           COMMAND simulation_test --first=${first} --seeds=6000)
  set_tests_properties(simulation_test_${half} PROPERTIES TIMEOUT 600)
endforeach()
