# `longrun sweep` from end to end, with real training: only where there is a worker.
if(TARGET longrun-worker)
  longrun_python_test(sweep_test sweep_test/sweep_test.py)
endif()
