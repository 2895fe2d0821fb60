# Benchmarks: pass rates from attempts, their law, and accuracy from a loss.
longrun_library(benchmarks
  SOURCES decay_law.cc difficulty.cc distributions.cc downstream.cc pass_rate.cc
  DEPS longrun_base Eigen3::Eigen)
longrun_test(pass_rate_test
  SOURCES decay_law_test.cc difficulty_test.cc downstream_test.cc pass_rate_test.cc
  DEPS longrun_benchmarks)
