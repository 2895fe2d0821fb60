longrun_binary(cli_start_bench
  SOURCES cli_start_bench.cc
  DEPS longrun_base)
