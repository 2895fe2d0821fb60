# Forecasts: intervals that hold as often as they say, backtests of them, and runs held against them.
longrun_library(forecast
  SOURCES backtest.cc calibration.cc conformal.cc curve.cc curve_csv.cc forecast.cc
          registration.cc
  DEPS longrun_scaling longrun_benchmarks longrun_base Eigen3::Eigen nlohmann_json::nlohmann_json)
longrun_test(forecast_test
  SOURCES backtest_test.cc calibration_test.cc conformal_test.cc curve_csv_test.cc
          curve_test.cc forecast_test.cc registration_test.cc
  DEPS longrun_forecast)
