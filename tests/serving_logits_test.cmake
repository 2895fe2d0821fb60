# Logits of the CPU executor against torch, in Debian's Python (python3-torch).
if(TARGET serving_print_logits)
  add_test(NAME serving_logits_test
           COMMAND /usr/bin/python3 -B
                   ${CMAKE_CURRENT_LIST_DIR}/serving_logits_test/serving_logits_test.py)
  set_tests_properties(serving_logits_test PROPERTIES
    TIMEOUT 300 SKIP_RETURN_CODE 77
    ENVIRONMENT "LONGRUN_PRINT_LOGITS=$<TARGET_FILE:serving_print_logits>")
endif()
