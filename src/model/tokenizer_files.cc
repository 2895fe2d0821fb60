#include "model/tokenizer_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_join.h"
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

// The names that end so, sorted.
std::vector<std::string> FilesEndingWith(const fs::path& folder, std::string_view end) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), last; !error && it != last; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.ends_with(end)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<Tokenizer> LoadTiktokenOf(const fs::path& folder) {
  const std::vector<std::string> names = FilesEndingWith(folder, ".tiktoken");
  if (names.size() == 1) return LoadTiktoken((folder / names[0]).string());
  if (!names.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} holds several .tiktoken files: {}; one is right", folder.string(),
                    absl::StrJoin(names, ", ")));
  }
  std::error_code error;
  return absl::NotFoundError(fmt::format(
      "{} holds neither tokenizer.json nor vocab.json with merges.txt nor a .tiktoken file{}",
      folder.string(),
      fs::exists(folder / "tokenizer.model", error)
          ? "; tokenizer.model is not read, but transformers makes a tokenizer.json of it: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
          : ""));
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

namespace {

absl::StatusOr<Tokenizer> Load(const std::string& path,
                               const std::optional<std::string>& end_of_text) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return absl::NotFoundError(
        fmt::format("{}: no such file; a folder with tokenizer.json, with vocab.json and "
                    "merges.txt or with a .tiktoken file is right, or one of those files",
                    path));
  }
  if (!fs::is_directory(path, error)) {
    if (path.ends_with(".tiktoken")) return LoadTiktoken(path);
    if (fs::path(path).filename() != "vocab.json") return LoadTokenizerJson(path, end_of_text);
    return LoadVocabAndMerges(path, (fs::path(path).parent_path() / "merges.txt").string());
  }
  const fs::path folder = path;
  if (fs::exists(folder / "tokenizer.json", error)) {
    return LoadTokenizerJson((folder / "tokenizer.json").string(), end_of_text);
  }
  if (fs::exists(folder / "vocab.json", error)) {
    return LoadVocabAndMerges((folder / "vocab.json").string(), (folder / "merges.txt").string());
  }
  return LoadTiktokenOf(folder);
}

}  // namespace

absl::StatusOr<Tokenizer> LoadTokenizer(const std::string& path) { return Load(path, {}); }

absl::StatusOr<Tokenizer> LoadTokenizer(const std::string& path, const std::string& end_of_text) {
  return Load(path, end_of_text);
}

}  // namespace longrun::model
