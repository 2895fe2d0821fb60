# Pictures: what gnuplot draws, as text.
longrun_library(pictures
  SOURCES picture.cc picture_fit.cc picture_pass_rate.cc
  DEPS longrun_scaling longrun_scaling_frontier longrun_benchmarks)
longrun_test(picture_test
  SOURCES picture_fit_test.cc picture_pass_rate_test.cc picture_test.cc
  DEPS longrun_pictures)
