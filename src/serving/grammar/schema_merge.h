// Lays schemas side by side: what satisfies the result satisfies each. Reads $ref and allOf away
// where that can be done without reasoning about values. One thread; the root must outlive it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace longrun::serving {

using Schema = nlohmann::ordered_json;

// Keywords that say something to people alone.
bool IsAnnotation(std::string_view keyword);

class SchemaMerger {
 public:
  explicit SchemaMerger(const Schema& root) : root_(root) {}

  // What a "#/…" stands for. `where`: the place of the $ref.
  absl::StatusOr<const Schema*> Resolve(const std::string& ref, const std::string& where) const;
  // Without allOf, and without a $ref that has more than annotations beside it.
  absl::StatusOr<Schema> Flatten(const Schema& schema, const std::string& where);
  absl::StatusOr<Schema> Merge(const Schema& a, const Schema& b, const std::string& where);

 private:
  absl::Status CountOne(const std::string& where);
  absl::Status Charge(const Schema& a, const Schema& b, const std::string& where);
  absl::Status MergeKeyword(const std::string& keyword, const Schema& theirs,
                            const std::string& where, Schema* into);

  const Schema& root_;
  int merges_ = 0;
  size_t work_ = 0;
};

}  // namespace longrun::serving
