// SQLite with its resources owned and its errors as absl::Status. One thread per connection.
//
// Codes: ResourceExhausted the disk (or the page limit) is full; DataLoss the file is malformed or
// no database; Unavailable another connection holds the lock; Internal anything else, input/output
// errors included.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun::control {

// A prepared statement. Bind*, then Step() until it is false, then Reset() before it is used again.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* stmt) : stmt_(stmt) {}

  // `index` from 1. The bytes of a blob must live until the next Reset().
  void Bind(int index, int64_t value) { sqlite3_bind_int64(stmt_.get(), index, value); }
  void BindBlob(int index, std::string_view bytes) {
    // A null pointer would bind NULL: an empty blob still needs an address.
    sqlite3_bind_blob64(stmt_.get(), index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                        SQLITE_STATIC);
  }
  // True: a row is there.
  absl::StatusOr<bool> Step();
  // Steps to the end and resets, ignoring rows.
  absl::Status Run();
  void Reset() { sqlite3_reset(stmt_.get()); }

  // `column` from 0. A blob lives until the next Step() or Reset().
  int64_t Int(int column) const { return sqlite3_column_int64(stmt_.get(), column); }
  bool IsInt(int column) const {
    return sqlite3_column_type(stmt_.get(), column) == SQLITE_INTEGER;
  }
  std::string_view Blob(int column) const {
    const void* bytes = sqlite3_column_blob(stmt_.get(), column);
    return {static_cast<const char*>(bytes),
            static_cast<size_t>(sqlite3_column_bytes(stmt_.get(), column))};
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> stmt_;
};

class Database {
 public:
  enum class Mode { kReadOnly, kReadWrite, kCreate };

  Database() = default;
  // Opens without touching the content: a file that is no database is told of by the first
  // statement.
  static absl::StatusOr<Database> Open(const std::string& path, Mode mode);

  absl::StatusOr<Statement> Prepare(std::string_view sql);
  absl::Status Execute(const std::string& sql);
  // The one integer that `sql` gives; 0 when it gives NULL or no row.
  absl::StatusOr<int64_t> QueryInt(const std::string& sql);
  // The first column of the first row as text; "" when there is none.
  absl::StatusOr<std::string> QueryText(const std::string& sql);
  int64_t changes() const { return sqlite3_changes64(db_.get()); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
  bool is_open() const { return db_ != nullptr; }
  // Statements must be gone by now.
  void Close() { db_.reset(); }

 private:
  struct CloseDatabase {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::unique_ptr<sqlite3, CloseDatabase> db_;
};

// What went wrong last on `db`, naming its file.
absl::Status SqliteError(sqlite3* db, int code);

}  // namespace longrun::control
