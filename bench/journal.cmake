longrun_binary(journal_bench
  SOURCES journal_bench.cc
  DEPS longrun_journal)
