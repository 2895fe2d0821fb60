longrun_binary(tokenizer_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/tokenizer_bench.cc
               DEPS longrun_text)
