# `longrun plan` from the command line to what it prints.
longrun_python_test(plan_command_test plan_command_test/plan_command_test.py)
