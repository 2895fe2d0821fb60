# `longrun fit` from a CSV to what it prints.
longrun_python_test(fit_command_test fit_command_test/fit_command_test.py)
