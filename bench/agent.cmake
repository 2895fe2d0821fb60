longrun_binary(agent_bench
  SOURCES agent_bench.cc
  DEPS longrun_engine_local longrun_agent longrun_base)
