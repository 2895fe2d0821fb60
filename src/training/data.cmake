# longrun_data: text to token files to batches; needs no libtorch.
longrun_library(data
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/batches.cc ${CMAKE_CURRENT_LIST_DIR}/corpus.cc
          ${CMAKE_CURRENT_LIST_DIR}/text_tasks.cc ${CMAKE_CURRENT_LIST_DIR}/token_file.cc
  DEPS longrun_base longrun_text)
longrun_test(data_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/batches_test.cc ${CMAKE_CURRENT_LIST_DIR}/corpus_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/text_tasks_test.cc ${CMAKE_CURRENT_LIST_DIR}/token_file_test.cc
  DEPS longrun_data)
