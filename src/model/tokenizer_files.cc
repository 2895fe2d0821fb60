#include "model/tokenizer_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "model/strict_json.h"
#include "model/vocab_builder.h"

namespace longrun::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Calls visit(line number from 1, line) until it fails; a last line may lack its end.
template <class F>
absl::Status ForEachLine(std::string_view text, F visit) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    LR_RETURN_IF_ERROR(visit(number, line));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Tokenizer> LoadVocabAndMerges(const std::string& vocab_path,
                                             const std::string& merges_path) {
  VocabBuilder vocab(vocab_path);
  LR_ASSIGN_OR_RETURN(const json entries, ReadStrictJson(vocab_path, kLargestFile));
  LR_RETURN_IF_ERROR(vocab.AddAll(entries));
  LR_ASSIGN_OR_RETURN(const std::string merges, ReadFile(merges_path, kLargestFile));
  LR_RETURN_IF_ERROR(ForEachLine(merges, [&](int64_t number, std::string_view line) {
    if (line.empty() || (number == 1 && line.starts_with("#version"))) return absl::OkStatus();
    return AddMergeLine(fmt::format("{}:{}", merges_path, number), line, &vocab);
  }));
  for (const TokenId id : vocab.Orphans()) {
    const std::string& text = vocab.TextOf(id);
    if (text.starts_with('<') && text.ends_with('>')) vocab.MakeSpecial(id);
  }
  return vocab.Build();
}

absl::StatusOr<Tokenizer> LoadTokenizer(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return absl::NotFoundError(
        fmt::format("{}: no such file; a folder with tokenizer.json or with vocab.json and "
                    "merges.txt is right, "
                    "or one of those files, or a .tiktoken file",
                    path));
  }
  if (!fs::is_directory(path, error)) {
    if (path.ends_with(".tiktoken")) return LoadTiktoken(path);
    if (fs::path(path).filename() != "vocab.json") return LoadTokenizerJson(path);
    return LoadVocabAndMerges(path, (fs::path(path).parent_path() / "merges.txt").string());
  }
  const fs::path folder = path;
  if (fs::exists(folder / "tokenizer.json", error)) {
    return LoadTokenizerJson((folder / "tokenizer.json").string());
  }
  if (fs::exists(folder / "vocab.json", error)) {
    return LoadVocabAndMerges((folder / "vocab.json").string(), (folder / "merges.txt").string());
  }
  return absl::NotFoundError(
      fmt::format("{} holds neither tokenizer.json nor vocab.json with merges.txt", path));
}

}  // namespace longrun::model
