longrun_binary(forecast_bench
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/forecast_bench.cc
  DEPS longrun_forecast)
