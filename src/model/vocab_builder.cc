#include "model/vocab_builder.h"

#include <algorithm>

#include "model/byte_level.h"

namespace longrun::model {

using nlohmann::json;

namespace {

// SentencePiece's "<0x0A>": the byte, or nothing.
std::optional<uint8_t> ByteOf(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const size_t digit = std::string_view("0123456789ABCDEF").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<int>(digit);
  }
  return static_cast<uint8_t>(value);
}

// U+2581 to blanks.
std::string WithBlanks(const std::string& text) {
  static constexpr std::string_view kBlock = "\u2581";
  std::string out;
  size_t at = 0;
  for (size_t block = text.find(kBlock); block != std::string::npos;
       block = text.find(kBlock, at)) {
    out.append(text, at, block - at);
    out += ' ';
    at = block + kBlock.size();
  }
  return out + text.substr(at);
}

void SortUnique(std::vector<TokenId>* ids) {
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
}

}  // namespace

absl::Status VocabBuilder::Add(const std::string& text, int64_t id) {
  if (id < 0 || id > kLargestId) return Invalid(path_, "\"{}\": no id for a token: {}", text, id);
  const auto [by_id, is_new_id] = texts_.try_emplace(id, text);
  if (!is_new_id && by_id->second != text) {
    return Invalid(path_, "\"{}\" and \"{}\" have the same id {}", by_id->second, text, id);
  }
  const auto [by_text, is_new] = ids_.try_emplace(text, static_cast<TokenId>(id));
  if (!is_new && by_text->second != id) {
    return Invalid(path_, "\"{}\" has two ids, {} and {}", text, by_text->second, id);
  }
  return absl::OkStatus();
}

absl::Status VocabBuilder::AddAll(const json& vocab) {
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

std::optional<TokenId> VocabBuilder::Find(std::string_view text) const {
  const auto it = ids_.find(text);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

absl::Status VocabBuilder::AddMerge(const std::string& where, std::string_view left,
                                    std::string_view right) {
  Tokenizer::Merge merge;
  const std::string both = fmt::format("{}{}", left, right);
  const std::pair<std::string_view, TokenId*> parts[] = {
      {left, &merge.left}, {right, &merge.right}, {both, &merge.merged}};
  for (const auto& [text, id] : parts) {
    const auto found = Find(text);
    if (!found.has_value()) return Invalid(where, "\"{}\" is not in the vocabulary", text);
    *id = *found;
  }
  merges_.push_back(merge);
  return absl::OkStatus();
}

std::vector<TokenId> VocabBuilder::Orphans() const {
  absl::flat_hash_map<TokenId, bool> made;
  for (const Tokenizer::Merge& merge : merges_) made[merge.merged] = true;
  std::vector<TokenId> orphans;
  for (const auto& [id, text] : texts_) {
    const auto bytes = TextToBytes(text);
    const auto token = static_cast<TokenId>(id);
    if (!made.contains(token) && !(bytes.has_value() && bytes->size() == 1)) {
      orphans.push_back(token);
    }
  }
  return orphans;
}

absl::StatusOr<std::string> VocabBuilder::BytesOf(TokenId id) {
  const std::string& text = texts_.at(id);
  const auto in = [&](const std::vector<TokenId>& ids) {
    return std::binary_search(ids.begin(), ids.end(), id);
  };
  if (in(specials_) || in(rules_.added)) return text;
  if (rules_.characters) {
    const auto byte = ByteOf(text);
    if (!byte.has_value()) return WithBlanks(text);
    rules_.byte_tokens[*byte] = id;
    return std::string(1, static_cast<char>(*byte));
  }
  auto bytes = TextToBytes(text);
  if (bytes.has_value()) return *std::move(bytes);
  return Invalid(path_,
                 "\"{}\" (id {}) is no byte-level token: a character in it stands for no byte",
                 text, id);
}

absl::StatusOr<Tokenizer> VocabBuilder::Build() {
  SortUnique(&specials_);
  SortUnique(&rules_.added);
  if (rules_.characters) rules_.byte_tokens.assign(256, -1);
  std::vector<std::string> tokens;
  const auto size = static_cast<int64_t>(texts_.size());
  for (int64_t id = 0; id < size; ++id) {
    if (!texts_.contains(id)) {
      return Invalid(path_, "no token has the id {}; ids run from 0 without gap", id);
    }
    LR_ASSIGN_OR_RETURN(tokens.emplace_back(), BytesOf(static_cast<TokenId>(id)));
  }
  if (std::count(rules_.byte_tokens.begin(), rules_.byte_tokens.end(), -1) > 0) {
    return Invalid(path_, "the tokens <0x00> to <0xFF> are not all there");
  }
  auto tokenizer = Tokenizer::Make(std::move(tokens), std::move(merges_), std::move(specials_),
                                   std::move(rules_));
  if (tokenizer.ok()) return tokenizer;
  return Invalid(path_, "{}", std::string(tokenizer.status().message()));
}

absl::Status AddMergeLine(const std::string& where, std::string_view line, VocabBuilder* vocab) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    return Invalid(where, "a merge is two tokens with a space between, not \"{}\"", line);
  }
  return vocab->AddMerge(where, line.substr(0, space), line.substr(space + 1));
}

}  // namespace longrun::model
