if(LONGRUN_WITH_TORCH)
  longrun_python_test(serve_test serve_test/serve_test.py)
endif()
