#include "control/sqlite_database.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace longrun::control {

absl::Status SqliteError(sqlite3* db, int code) {
  const char* file = db == nullptr ? nullptr : sqlite3_db_filename(db, "main");
  const int system_error = db == nullptr ? 0 : sqlite3_system_errno(db);
  std::string text = absl::StrCat(file == nullptr ? "" : file, ": ",
                                  db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db));
  const int primary = code & 0xff;
  if (primary == SQLITE_IOERR && system_error != 0) {
    absl::StrAppend(&text, " (", std::strerror(system_error), ")");
  }
  const bool out_of_room =
      primary == SQLITE_FULL ||
      (primary == SQLITE_IOERR && (system_error == ENOSPC || system_error == EDQUOT));
  if (out_of_room) {
    return absl::ResourceExhaustedError(
        absl::StrCat(text, "; make room on that disk, nothing was half written"));
  }
  switch (primary) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return absl::DataLossError(text);
    case SQLITE_ERROR:
      // Our statements are fixed: what they name is missing only where the schema is damaged.
      return absl::StrContains(text, "no such ") ? absl::DataLossError(text)
                                                 : absl::InternalError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(text);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return absl::PermissionDeniedError(absl::StrCat(
          text, system_error == 0 ? "" : absl::StrCat(" (", std::strerror(system_error), ")")));
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(stmt_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(stmt_.get()), code);
}

absl::Status Statement::Run() {
  while (true) {
    absl::StatusOr<bool> row = Step();
    if (!row.ok() || !*row) {
      Reset();
      return row.status();
    }
  }
}

absl::StatusOr<Database> Database::Open(const std::string& path, Mode mode) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (mode) {
    case Mode::kReadOnly:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case Mode::kReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
    case Mode::kCreate:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  Database database;
  database.db_.reset(handle);
  if (code != SQLITE_OK) return SqliteError(handle, code);
  sqlite3_busy_timeout(handle, 5000);
  // A malformed file must give errors, not misbehaviour.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  LR_RETURN_IF_ERROR(database.Execute("PRAGMA cell_size_check=ON"));
  return database;
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (code != SQLITE_OK) return SqliteError(db_.get(), code);
  return Statement(stmt);
}

absl::Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteError(db_.get(), code);
}

absl::StatusOr<int64_t> Database::QueryInt(const std::string& sql) {
  LR_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  LR_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Int(0) : 0;
}

absl::StatusOr<std::string> Database::QueryText(const std::string& sql) {
  LR_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  LR_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? std::string(statement.Blob(0)) : std::string();
}

}  // namespace longrun::control
