#include "control/journal_schema.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/file.h"
#include "control/journal_rows.h"

namespace longrun::control {
namespace {

constexpr int64_t kApplicationTag = 0x4c524a00;  // "LRJ" and the version

constexpr char kRecordTable[] =
    "CREATE TABLE record(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "payload BLOB NOT NULL, sum INTEGER NOT NULL)";
constexpr char kBookmarkTable[] =
    "CREATE TABLE bookmark(name TEXT PRIMARY KEY, value INTEGER NOT NULL)";

std::string MarkOf(int version) {
  return absl::StrCat("PRAGMA user_version=", version,
                      ";PRAGMA application_id=", kApplicationTag + version, ";");
}

absl::Status ChainSums(Database& db) {
  LR_RETURN_IF_ERROR(db.Execute(std::string(kBookmarkTable)));
  LR_ASSIGN_OR_RETURN(Statement select,
                      db.Prepare("SELECT seq, at, kind, payload, sum FROM record ORDER BY seq"));
  LR_ASSIGN_OR_RETURN(Statement update, db.Prepare("UPDATE record SET sum = ? WHERE seq = ?"));
  uint64_t chain = kChainStart;
  while (true) {
    LR_ASSIGN_OR_RETURN(const bool there, select.Step());
    if (!there) return absl::OkStatus();
    const RecordView record{static_cast<uint64_t>(select.Int(0)), Time{select.Int(1)},
                            static_cast<int32_t>(select.Int(2)), select.Blob(3)};
    const uint64_t own_sum = XXH3_64bits(record.payload.data(), record.payload.size());
    chain = ChainSum(chain, record);
    // A record that was damaged before stays so: its new sum must not make it good.
    if (own_sum != static_cast<uint64_t>(select.Int(4))) chain = ~chain;
    update.Bind(1, static_cast<int64_t>(chain));
    update.Bind(2, static_cast<int64_t>(record.seq));
    LR_RETURN_IF_ERROR(update.Run());
  }
}

// The step at index i leads from version i + 1 to i + 2.
using MigrationStep = absl::Status (*)(Database&);
constexpr std::array<MigrationStep, kSchemaVersion - 1> kMigrations = {ChainSums};

absl::Status MigrateInTransaction(Database& db, int from_version) {
  for (int version = from_version; version < kSchemaVersion; ++version) {
    LR_RETURN_IF_ERROR(kMigrations[version - 1](db));
  }
  LR_RETURN_IF_ERROR(db.Execute(MarkOf(kSchemaVersion)));
  return db.Execute("COMMIT");
}

}  // namespace

std::string SchemaOf(int version) {
  LR_CHECK(version >= 1 && version <= kSchemaVersion);
  std::string sql = absl::StrCat(kRecordTable, ";");
  if (version >= 2) absl::StrAppend(&sql, kBookmarkTable, ";");
  return sql + MarkOf(version);
}

absl::Status CreateDatabase(const std::string& path) {
  const std::string temporary = path + ".new";
  // A rollback journal left by a crash would be applied to the new file.
  unlink(temporary.c_str());
  unlink((temporary + "-journal").c_str());
  {
    LR_ASSIGN_OR_RETURN(Database db, Database::Open(temporary, Database::Mode::kCreate));
    LR_RETURN_IF_ERROR(
        db.Execute(absl::StrCat("PRAGMA page_size=4096;PRAGMA synchronous=FULL;BEGIN;",
                                SchemaOf(kSchemaVersion), "COMMIT")));
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path));
  }
  return SyncFolder(std::filesystem::path(path).parent_path().string());
}

absl::StatusOr<int> ReadVersion(Database& db) {
  LR_ASSIGN_OR_RETURN(const int64_t version, db.QueryInt("PRAGMA user_version"));
  LR_ASSIGN_OR_RETURN(const int64_t tag, db.QueryInt("PRAGMA application_id"));
  if (version < 1 || tag != kApplicationTag + version) {
    return absl::DataLossError("the header is not that of a journal");
  }
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a newer Longrun wrote this journal (format ", version, "; this one knows up to ",
        kSchemaVersion, "); start the newer Longrun again or choose another state folder"));
  }
  LR_ASSIGN_OR_RETURN(const std::string table,
                      db.QueryText("SELECT sql FROM sqlite_schema WHERE name='record'"));
  if (table != kRecordTable) return absl::DataLossError("the table of records is damaged");
  if (version < 2) return static_cast<int>(version);
  LR_ASSIGN_OR_RETURN(const std::string bookmark,
                      db.QueryText("SELECT sql FROM sqlite_schema WHERE name='bookmark'"));
  if (bookmark != kBookmarkTable) return absl::DataLossError("the table of bookmarks is damaged");
  return static_cast<int>(version);
}

absl::Status Migrate(Database& db, int from_version) {
  LR_CHECK(from_version >= 1 && from_version <= kSchemaVersion);
  if (from_version == kSchemaVersion) return absl::OkStatus();
  LR_RETURN_IF_ERROR(db.Execute("BEGIN IMMEDIATE"));
  const absl::Status status = MigrateInTransaction(db, from_version);
  if (!status.ok() && db.in_transaction()) (void)db.Execute("ROLLBACK");
  return status;
}

}  // namespace longrun::control
