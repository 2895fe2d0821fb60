// A vocabulary and its merges as tokenizer files write them, gathered and made into a Tokenizer.
// One thread; messages name the file.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "model/tokenizer.h"
#include "model/view_hash.h"

namespace longrun::model {

constexpr int64_t kLargestFile = int64_t{1} << 28;
constexpr int64_t kLargestId = int64_t{1} << 26;

template <class... T>
absl::Status Invalid(const std::string& path, fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", path, fmt::format(format, std::forward<T>(values)...)));
}

// A vocabulary as the files write it: the text of each id, ids without gap.
class VocabBuilder {
 public:
  explicit VocabBuilder(std::string path) : path_(std::move(path)) {}

  absl::Status Add(const std::string& text, int64_t id);
  absl::Status AddAll(const nlohmann::json& vocab);
  void MakeSpecial(TokenId id) { specials_.push_back(id); }
  bool IsSpecial(TokenId id) const {
    return std::find(specials_.begin(), specials_.end(), id) != specials_.end();
  }
  // Its text stands for itself, not for bytes, and comes from text always.
  void MakeAdded(TokenId id) { rules_.added.push_back(id); }
  absl::Status AddMerge(const std::string& where, std::string_view left, std::string_view right);

  // Ids that are neither a byte nor made by a merge, and so come from no text.
  std::vector<TokenId> Orphans() const;
  const std::string& TextOf(TokenId id) const { return texts_.at(id); }
  std::optional<TokenId> Find(std::string_view text) const;

  TextRules& rules() { return rules_; }
  absl::StatusOr<Tokenizer> Build();

 private:
  absl::StatusOr<std::string> BytesOf(TokenId id);

  std::string path_;
  absl::flat_hash_map<int64_t, std::string> texts_;  // by id
  TextMap<TokenId> ids_;
  std::vector<Tokenizer::Merge> merges_;
  std::vector<TokenId> specials_;
  TextRules rules_;
};

// "left right", as merges.txt and older tokenizer.json write a merge.
absl::Status AddMergeLine(const std::string& where, std::string_view line, VocabBuilder* vocab);

}  // namespace longrun::model
