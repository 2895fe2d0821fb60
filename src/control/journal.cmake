find_package(PkgConfig REQUIRED)
pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
longrun_library(journal
  SOURCES folder_lock.cc journal_repair.cc journal_rows.cc journal_schema.cc memory_journal.cc
          committed_mark.cc snapshot_files.cc sqlite_database.cc sqlite_journal.cc sqlite_journal_open.cc
          wal_inspection.cc
  DEPS longrun_base PkgConfig::sqlite3)
longrun_test(journal_contract_test SOURCES journal_contract_test.cc DEPS longrun_journal)
longrun_test(sqlite_journal_test SOURCES sqlite_journal_test.cc DEPS longrun_journal)
longrun_test(journal_damage_test SOURCES journal_damage_test.cc DEPS longrun_journal)
longrun_test(journal_crash_test SOURCES journal_crash_test.cc DEPS longrun_journal)
