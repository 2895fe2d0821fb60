longrun_binary(grammar_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/grammar_bench.cc
               DEPS longrun_serving_grammar)
