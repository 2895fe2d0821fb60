add_test(NAME openai_client_test
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/openai_client_test/run.sh)
set_tests_properties(openai_client_test PROPERTIES
  TIMEOUT 300
  SKIP_RETURN_CODE 77
  ENVIRONMENT "${LONGRUN_TEST_ENVIRONMENT};LONGRUN_NODE=${CMAKE_BINARY_DIR}/node")
