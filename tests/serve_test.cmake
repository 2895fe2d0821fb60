longrun_python_test(serve_test serve_test/serve_test.py)
