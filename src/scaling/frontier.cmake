#The best sizes by compute, without a law of the loss.
longrun_library(scaling_frontier SOURCES envelope.cc frontier.cc isoflop.cc DEPS longrun_scaling)
    longrun_test(scaling_frontier_test SOURCES frontier_test.cc DEPS longrun_scaling_frontier)
