#include "model/tokenizer.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/check.h"
#include "model/byte_level.h"
#include "model/split_regex.h"
#include "model/view_hash.h"

namespace longrun::model {
namespace {

// Ranks and ids are 31 bits, and an encoder packs a rank beside a place.
constexpr size_t kMostTokens = 1 << 26;

uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

std::string Quoted(std::string_view bytes) {
  return fmt::format("\"{}\"", absl::CHexEscape({bytes.data(), bytes.size()}));
}

template <class... T>
absl::Status Invalid(fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<T>(values)...));
}

// Of everything that decides which tokens a text gives, the same on every machine.
uint64_t HashOf(const std::vector<std::string>& tokens, const std::vector<Tokenizer::Merge>& merges,
                const std::vector<TokenId>& specials, const TextRules& rules) {
  std::string all;
  const auto number = [&](uint64_t n) {
    for (int i = 0; i < 8; ++i) all.push_back(static_cast<char>(n >> (8 * i)));
  };
  number(tokens.size());
  for (const std::string& token : tokens) {
    number(token.size());
    all += token;
  }
  number(merges.size());
  for (const Tokenizer::Merge& merge : merges) {
    number(PairKey(merge.left, merge.right));
    number(static_cast<uint64_t>(merge.merged));
  }
  for (const TokenId id : specials) number(static_cast<uint64_t>(id));
  if (!rules.IsGpt2s()) {
    if (rules.words != nullptr) {
      for (const std::string& pattern : rules.words->patterns()) all += pattern + '\0';
    }
    for (const int flag : {static_cast<int>(rules.blank), static_cast<int>(rules.whole_words),
                           static_cast<int>(rules.characters)}) {
      number(static_cast<uint64_t>(flag));
    }
    for (const TokenId id : rules.added) number(static_cast<uint64_t>(id));
    for (const TokenId id : rules.byte_tokens) number(static_cast<uint64_t>(id));
  }
  return XXH3_64bits(all.data(), all.size());
}

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Make(std::vector<std::string> tokens,
                                          std::vector<Merge> merges, std::vector<TokenId> specials,
                                          TextRules rules) {
  if (tokens.size() > kMostTokens) {
    return Invalid("a vocabulary of {} tokens; at most {} work", tokens.size(), kMostTokens);
  }
  Tokenizer t;
  t.tokens_ = std::move(tokens);
  t.merges_ = std::move(merges);
  t.specials_ = std::move(specials);
  t.rules_ = std::move(rules);
  LR_RETURN_IF_ERROR(t.IndexSpecials());
  LR_RETURN_IF_ERROR(t.IndexRules());
  LR_RETURN_IF_ERROR(t.IndexBytes());
  LR_RETURN_IF_ERROR(t.IndexMerges());
  t.hash_ = HashOf(t.tokens_, t.merges_, t.specials_, t.rules_);
  return t;
}

absl::Status Tokenizer::IndexSpecials() {
  is_special_.assign(tokens_.size(), false);
  ViewSet seen;
  for (const TokenId id : specials_) {
    if (id < 0 || id >= vocab_size()) {
      return Invalid("special token {} is not in the vocabulary of {} tokens", id, vocab_size());
    }
    const std::string& text = tokens_[static_cast<size_t>(id)];
    if (text.empty()) return Invalid("special token {} has no text", id);
    if (!seen.insert(text).second) {
      return Invalid("the special token {} stands more than once", Quoted(text));
    }
    is_special_[static_cast<size_t>(id)] = true;
    if (text == kEndOfText) end_of_text_ = id;
  }
  return absl::OkStatus();
}

bool TextRules::IsGpt2s() const {
  return words == nullptr && blank == Blank::kNone && !whole_words && !characters && added.empty();
}

absl::Status Tokenizer::IndexRules() {
  const auto there = [&](TokenId id) { return id >= 0 && id < vocab_size(); };
  for (const auto* ids : {&rules_.added, &rules_.prefix, &rules_.byte_tokens}) {
    for (const TokenId id : *ids) {
      if (!there(id)) return Invalid("token {} is not in the vocabulary", id);
    }
  }
  for (const TokenId id : rules_.added) {
    if (TokenBytes(id).empty() || IsSpecial(id)) return Invalid("added token {} has no text", id);
  }
  if (rules_.end_of_text.has_value()) {
    if (!there(*rules_.end_of_text) || !IsSpecial(*rules_.end_of_text)) {
      return Invalid("the end of text, {}, is no special token", *rules_.end_of_text);
    }
    end_of_text_ = rules_.end_of_text;
  }
  if (!rules_.whole_words && !rules_.characters) return absl::OkStatus();
  std::vector<bool> is_byte(tokens_.size(), false);
  for (const TokenId id : rules_.byte_tokens) is_byte[static_cast<size_t>(id)] = true;
  for (TokenId id = 0; id < vocab_size(); ++id) {
    if (!IsSpecial(id) && !is_byte[static_cast<size_t>(id)]) {
      wholes_.try_emplace(tokens_[static_cast<size_t>(id)], id);
    }
  }
  return absl::OkStatus();
}

std::optional<TokenId> Tokenizer::Whole(std::string_view bytes) const {
  const auto it = wholes_.find(std::string(bytes));
  if (it == wholes_.end()) return std::nullopt;
  return it->second;
}

absl::Status Tokenizer::IndexBytes() {
  if (rules_.characters) {
    if (rules_.byte_tokens.size() != 256) return Invalid("256 tokens of bytes are right");
    std::copy(rules_.byte_tokens.begin(), rules_.byte_tokens.end(), std::begin(byte_tokens_));
    return absl::OkStatus();
  }
  std::fill(std::begin(byte_tokens_), std::end(byte_tokens_), TokenId{-1});
  ViewSet seen;
  for (TokenId id = 0; id < vocab_size(); ++id) {
    if (IsSpecial(id)) continue;
    const std::string& bytes = tokens_[static_cast<size_t>(id)];
    if (bytes.empty()) return Invalid("token {} is empty", id);
    if (!seen.insert(bytes).second) {
      return Invalid("the token {} stands more than once", Quoted(bytes));
    }
    if (bytes.size() == 1) byte_tokens_[static_cast<uint8_t>(bytes[0])] = id;
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_tokens_[byte] < 0) {
      return Invalid("no token for the byte 0x{:02x}; a byte-level vocabulary has all 256", byte);
    }
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::IndexMerges() {
  joins_.reserve(merges_.size());
  for (size_t rank = 0; rank < merges_.size(); ++rank) {
    const Merge& m = merges_[rank];
    for (const TokenId id : {m.left, m.right, m.merged}) {
      if (id < 0 || id >= vocab_size() || IsSpecial(id)) {
        return Invalid("merge {}: {} is no ordinary token", rank, id);
      }
    }
    const std::string& left = tokens_[static_cast<size_t>(m.left)];
    const std::string& right = tokens_[static_cast<size_t>(m.right)];
    if (left + right != TokenBytes(m.merged)) {
      return Invalid("merge {}: {} and {} do not make {}", rank, Quoted(left), Quoted(right),
                     Quoted(TokenBytes(m.merged)));
    }
    const Join join{static_cast<int32_t>(rank), m.merged};
    if (!joins_.emplace(PairKey(m.left, m.right), join).second) {
      return Invalid("merge {}: {} and {} merge twice", rank, Quoted(left), Quoted(right));
    }
  }
  return absl::OkStatus();
}

Tokenizer Tokenizer::Bytes(const std::vector<std::string>& specials) {
  std::vector<std::string> tokens;
  for (const uint8_t byte : BytesInGpt2Order()) tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<TokenId> ids;
  for (const std::string& special : specials) {
    ids.push_back(static_cast<TokenId>(tokens.size()));
    tokens.push_back(special);
  }
  absl::StatusOr<Tokenizer> tokenizer = Make(std::move(tokens), {}, std::move(ids));
  LR_CHECK(tokenizer.ok());
  return *std::move(tokenizer);
}

std::string_view Tokenizer::TokenBytes(TokenId id) const {
  LR_CHECK(id >= 0 && id < vocab_size());
  return tokens_[static_cast<size_t>(id)];
}

bool Tokenizer::IsSpecial(TokenId id) const {
  LR_CHECK(id >= 0 && id < vocab_size());
  return is_special_[static_cast<size_t>(id)];
}

std::optional<TokenId> Tokenizer::Special(std::string_view text) const {
  for (const TokenId id : specials_) {
    if (TokenBytes(id) == text) return id;
  }
  return std::nullopt;
}

Tokenizer::Join Tokenizer::Find(TokenId left, TokenId right) const {
  const auto it = joins_.find(PairKey(left, right));
  return it == joins_.end() ? Join{} : it->second;
}

std::vector<TokenId> Tokenizer::Encode(std::string_view text) const {
  std::vector<TokenId> ids;
  TokenEncoder(*this).Encode(text, &ids);
  return ids;
}

std::vector<TokenId> Tokenizer::EncodeWithSpecials(std::string_view text) const {
  std::vector<TokenId> ids;
  TokenEncoder(*this).EncodeWithSpecials(text, &ids);
  return ids;
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const TokenId> ids) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) {
      return Invalid("token {} is not in the vocabulary; 0 to {} are", id, vocab_size() - 1);
    }
    bytes += TokenBytes(id);
  }
  if (rules_.blank != TextRules::Blank::kNone && bytes.starts_with(' ')) bytes.erase(0, 1);
  return bytes;
}

}  // namespace longrun::model
