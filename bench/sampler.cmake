longrun_binary(sampler_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/sampler_bench.cc
               DEPS longrun_serving_sample)
