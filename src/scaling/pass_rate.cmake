# Benchmarks: pass rates from attempts, their law, and accuracy from a loss.
longrun_library(benchmarks
  SOURCES attempts_csv.cc decay_law.cc difficulty.cc distributions.cc downstream.cc
          downstream_csv.cc pass_rate.cc
  DEPS longrun_scaling longrun_base Eigen3::Eigen)
longrun_test(pass_rate_test
  SOURCES attempts_csv_test.cc decay_law_test.cc difficulty_test.cc downstream_csv_test.cc
          downstream_test.cc pass_rate_test.cc
  DEPS longrun_benchmarks)
