#Sweeps : the ladder of small runs and the large one that is to be foretold.
longrun_library(
    scaling_sweep SOURCES sweep_config.cc sweep_design.cc DEPS longrun_scaling longrun_base)
    longrun_test(scaling_sweep_test SOURCES sweep_design_test.cc DEPS longrun_scaling_sweep)
