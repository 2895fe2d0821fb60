# `longrun sweep` from end to end.
longrun_python_test(sweep_test sweep_test/sweep_test.py)
