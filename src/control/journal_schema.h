// The form of the journal's database: creating it, recognizing it, bringing an older one up to
// date.
//
// The version stands twice in the file's header (user_version and, with a tag, application_id), so
// that a damaged header is not mistaken for a newer Longrun's.
#pragma once

#include <string>

#include "base/status.h"
#include "control/sqlite_database.h"

namespace longrun::control {

// 1: each record carries a sum of its payload alone. 2: sums are chained (ChainSum), and `bookmark`
// remembers how far pruning went.
inline constexpr int kSchemaVersion = 2;

// Makes an empty journal at `path`, whole or not at all.
absl::Status CreateDatabase(const std::string& path);

// The version of an open database. DataLoss when the header or the tables are not a journal's;
// FailedPrecondition when a newer Longrun wrote it.
absl::StatusOr<int> ReadVersion(Database& db);

// Brings an older database to kSchemaVersion, in one transaction.
absl::Status Migrate(Database& db, int from_version);

// Statements that make the tables of a version and mark the file with it; for tests and creation.
std::string SchemaOf(int version);

}  // namespace longrun::control
