#include "model/tokenizer_files.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "model/byte_level.h"
#include "model/strict_json.h"
#include "model/view_hash.h"

namespace longrun::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kLargestFile = int64_t{1} << 28;
constexpr int64_t kLargestId = int64_t{1} << 26;

template <class... T>
absl::Status Invalid(const std::string& path, fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", path, fmt::format(format, std::forward<T>(values)...)));
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", path, std::string(status.message())));
}

// A vocabulary as the files write it: the text of each id, ids without gap.
class VocabBuilder {
 public:
  explicit VocabBuilder(std::string path) : path_(std::move(path)) {}

  absl::Status Add(const std::string& text, int64_t id) {
    if (id < 0 || id > kLargestId) return Invalid(path_, "\"{}\": no id for a token: {}", text, id);
    const auto place = static_cast<size_t>(id);
    if (place >= texts_.size()) texts_.resize(place + 1);
    if (!texts_[place].empty() && texts_[place] != text) {
      return Invalid(path_, "\"{}\" and \"{}\" have the same id {}", texts_[place], text, id);
    }
    const auto [it, is_new] = ids_.try_emplace(text, static_cast<TokenId>(id));
    if (!is_new && it->second != id) {
      return Invalid(path_, "\"{}\" has two ids, {} and {}", text, it->second, id);
    }
    texts_[place] = text;
    return absl::OkStatus();
  }

  absl::Status AddAll(const json& vocab) {
    if (!vocab.is_object()) return Invalid(path_, "a vocabulary is an object {{token: id}}");
    for (const auto& [text, id] : vocab.items()) {
      if (text.empty()) return Invalid(path_, "a token has no text");
      if (!id.is_number_unsigned()) {
        return Invalid(path_, "\"{}\": a whole number from 0 is right, not {}", text, id.dump());
      }
      LR_RETURN_IF_ERROR(
          Add(text, static_cast<int64_t>(std::min<uint64_t>(id.get<uint64_t>(), kLargestId + 1))));
    }
    return absl::OkStatus();
  }

  void MakeSpecial(TokenId id) {
    if (std::find(specials_.begin(), specials_.end(), id) == specials_.end()) {
      specials_.push_back(id);
    }
  }

  absl::Status AddMerge(const std::string& where, std::string_view left, std::string_view right) {
    Tokenizer::Merge merge;
    const std::string both = fmt::format("{}{}", left, right);
    const std::pair<std::string_view, TokenId*> parts[] = {
        {left, &merge.left}, {right, &merge.right}, {both, &merge.merged}};
    for (const auto& [text, id] : parts) {
      const auto it = ids_.find(text);
      if (it == ids_.end()) return Invalid(where, "\"{}\" is not in the vocabulary", text);
      *id = it->second;
    }
    merges_.push_back(merge);
    return absl::OkStatus();
  }

  // Ids that are neither a byte nor made by a merge, and so come from no text.
  std::vector<TokenId> Orphans() const {
    std::vector<bool> made(texts_.size(), false);
    for (const Tokenizer::Merge& merge : merges_) made[static_cast<size_t>(merge.merged)] = true;
    std::vector<TokenId> orphans;
    for (size_t id = 0; id < texts_.size(); ++id) {
      const auto bytes = TextToBytes(texts_[id]);
      if (!made[id] && !(bytes.has_value() && bytes->size() == 1)) {
        orphans.push_back(static_cast<TokenId>(id));
      }
    }
    return orphans;
  }
  const std::string& TextOf(TokenId id) const { return texts_[static_cast<size_t>(id)]; }

  absl::StatusOr<Tokenizer> Build() {
    std::sort(specials_.begin(), specials_.end());
    std::vector<std::string> tokens;
    for (size_t id = 0; id < texts_.size(); ++id) {
      if (texts_[id].empty()) {
        return Invalid(path_, "no token has the id {}; ids run from 0 to {} without gap", id,
                       texts_.size() - 1);
      }
      if (std::binary_search(specials_.begin(), specials_.end(), static_cast<TokenId>(id))) {
        tokens.push_back(texts_[id]);
        continue;
      }
      auto bytes = TextToBytes(texts_[id]);
      if (!bytes.has_value()) {
        return Invalid(path_,
                       "\"{}\" (id {}) is no byte-level token: a character in it stands for "
                       "no byte",
                       texts_[id], id);
      }
      tokens.push_back(*std::move(bytes));
    }
    auto tokenizer = Tokenizer::Make(std::move(tokens), std::move(merges_), std::move(specials_));
    if (!tokenizer.ok()) return InFile(path_, tokenizer.status());
    return tokenizer;
  }

 private:
  std::string path_;
  std::vector<std::string> texts_;  // by id
  TextMap<TokenId> ids_;
  std::vector<Tokenizer::Merge> merges_;
  std::vector<TokenId> specials_;
};

absl::StatusOr<json> ReadJson(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kLargestFile));
  return ParseStrictJson(text, path);
}

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

// "left right", as merges.txt and older tokenizer.json write a merge.
absl::Status AddMergeLine(const std::string& where, std::string_view line, VocabBuilder* vocab) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    return Invalid(where, "a merge is two tokens with a space between, not \"{}\"", line);
  }
  return vocab->AddMerge(where, line.substr(0, space), line.substr(space + 1));
}

bool IsNullOr(const json& object, const char* key, const json& right) {
  return !object.contains(key) || object[key].is_null() || object[key] == right;
}

// Refuses what would make other tokens than GPT-2's way of doing it.
absl::Status CheckPipeline(const std::string& path, const json& file) {
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object()) {
    return Invalid(path, "an object with \"model\" is right");
  }
  const json& model = file["model"];
  if (!model.contains("type") || model["type"] != "BPE") {
    return Invalid(path, "model.type: \"BPE\" is the one that is read");
  }
  for (const auto& [key, right] : {std::pair<const char*, json>{"dropout", 0.0},
                                   {"continuing_subword_prefix", ""},
                                   {"end_of_word_suffix", ""},
                                   {"byte_fallback", false},
                                   {"ignore_merges", false}}) {
    if (!IsNullOr(model, key, right)) {
      return Invalid(path, "model.{}: {} is not read; null or {} is", key, model[key].dump(),
                     right.dump());
    }
  }
  if (!IsNullOr(file, "normalizer", nullptr)) {
    return Invalid(path, "normalizer: null is right; text is encoded as it is");
  }
  const json split = file.value("pre_tokenizer", json());
  if (!split.is_object() || split.value("type", "") != "ByteLevel" ||
      !split.value("use_regex", true) || split.value("add_prefix_space", true)) {
    return Invalid(path,
                   "pre_tokenizer: {{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                   "\"use_regex\": true}} (GPT-2's split) is the one that is read");
  }
  const json post = file.value("post_processor", json());
  if (!post.is_null() && !(post.is_object() && post.value("type", "") == "ByteLevel")) {
    return Invalid(path, "post_processor: null or ByteLevel is right; no tokens are added");
  }
  return absl::OkStatus();
}

absl::Status AddAddedTokens(const std::string& path, const json& added, VocabBuilder* vocab) {
  if (added.is_null()) return absl::OkStatus();
  if (!added.is_array()) return Invalid(path, "added_tokens: a list is right");
  for (const json& token : added) {
    if (!token.is_object() || !token.contains("id") || !token["id"].is_number_unsigned() ||
        !token.contains("content") || !token["content"].is_string() ||
        token["content"].get_ref<const std::string&>().empty()) {
      return Invalid(path, "added_tokens: each has an \"id\" and a \"content\"");
    }
    const auto id = std::min<uint64_t>(token["id"].get<uint64_t>(), kLargestId + 1);
    LR_RETURN_IF_ERROR(vocab->Add(token["content"].get<std::string>(), static_cast<int64_t>(id)));
    vocab->MakeSpecial(static_cast<TokenId>(id));
  }
  return absl::OkStatus();
}

absl::Status AddMerges(const std::string& path, const json& merges, VocabBuilder* vocab) {
  if (!merges.is_array()) return Invalid(path, "model.merges: a list is right");
  for (size_t i = 0; i < merges.size(); ++i) {
    const json& merge = merges[i];
    const std::string where = fmt::format("{}: model.merges[{}]", path, i);
    if (merge.is_string()) {
      LR_RETURN_IF_ERROR(AddMergeLine(where, merge.get_ref<const std::string&>(), vocab));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      LR_RETURN_IF_ERROR(
          vocab->AddMerge(where, merge[0].get<std::string>(), merge[1].get<std::string>()));
    } else {
      return Invalid(where, "\"left right\" or [\"left\", \"right\"] is right");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Tokenizer> LoadVocabAndMerges(const std::string& vocab_path,
                                             const std::string& merges_path) {
  VocabBuilder vocab(vocab_path);
  LR_ASSIGN_OR_RETURN(const json entries, ReadJson(vocab_path));
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

absl::StatusOr<Tokenizer> LoadTokenizerJson(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const json file, ReadJson(path));
  try {
    LR_RETURN_IF_ERROR(CheckPipeline(path, file));
    const json& model = file["model"];
    if (!model.contains("vocab") || !model.contains("merges")) {
      return Invalid(path, "model: \"vocab\" and \"merges\" are needed");
    }
    VocabBuilder vocab(path);
    LR_RETURN_IF_ERROR(vocab.AddAll(model["vocab"]));
    LR_RETURN_IF_ERROR(AddMerges(path, model["merges"], &vocab));
    LR_RETURN_IF_ERROR(AddAddedTokens(path, file.value("added_tokens", json()), &vocab));
    return vocab.Build();
  } catch (const json::exception& e) {  // a field of another type than its name promises
    return Invalid(path, "not as a tokenizer.json should be: {}", e.what());
  }
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
