if(LONGRUN_WITH_TORCH)
  longrun_binary(train_bench
    SOURCES train_bench.cc
    DEPS longrun_model longrun_optim longrun_base)
  longrun_use_torch(train_bench)
endif()
