#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/file.h"
#include "model/split.h"
#include "model/tokenizer_files.h"
#include "model/utf8.h"
#include "model/view_hash.h"

namespace longrun::model {
namespace {

constexpr int64_t kLargestFile = int64_t{1} << 28;
constexpr TokenId kLargestRank = 1 << 26;

struct RankedToken {
  TokenId rank;
  std::string bytes;
};

absl::Status WrongLine(const std::string& path, int64_t line, const std::string& what) {
  return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, line, what));
}

absl::StatusOr<RankedToken> ParseLine(const std::string& path, int64_t number,
                                      std::string_view line) {
  const size_t space = line.find(' ');
  RankedToken token{.rank = -1, .bytes = {}};
  if (space != std::string_view::npos) {
    const char* end = line.data() + line.size();
    const auto parsed = std::from_chars(line.data() + space + 1, end, token.rank);
    if (parsed.ec != std::errc() || parsed.ptr != end) token.rank = -1;
  }
  if (token.rank < 0 || token.rank > kLargestRank) {
    return WrongLine(path, number, "a token in base64, a space and its rank are right");
  }
  if (!absl::Base64Unescape({line.data(), space}, &token.bytes) || token.bytes.empty()) {
    return WrongLine(path, number, "the token is not base64");
  }
  return token;
}

// Tokens by id. One id may be left out for <|endoftext|>, which takes the first that is free.
absl::StatusOr<std::vector<std::string>> ReadTokens(const std::string& path, TokenId* end_of_text) {
  LR_ASSIGN_OR_RETURN(const std::string content, ReadFile(path, kLargestFile));
  std::vector<std::string> tokens;
  std::string_view text = content;
  size_t count = 0;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    LR_ASSIGN_OR_RETURN(RankedToken token, ParseLine(path, number, line));
    const auto id = static_cast<size_t>(token.rank);
    if (id >= tokens.size()) tokens.resize(id + 1);
    if (!tokens[id].empty()) {
      return WrongLine(path, number, fmt::format("the rank {} stands twice", id));
    }
    tokens[id] = std::move(token.bytes);
    ++count;
  }
  const auto gap = std::find(tokens.begin(), tokens.end(), "");
  *end_of_text = static_cast<TokenId>(gap - tokens.begin());
  if (gap == tokens.end()) {
    tokens.emplace_back();
  } else if (count + 1 != tokens.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} ranks up to {} are missing; at most one, for {}, may be", path,
                    tokens.size() - count, tokens.size() - 1, kEndOfText));
  }
  tokens[static_cast<size_t>(*end_of_text)] = kEndOfText;
  return tokens;
}

// The two tokens that `bytes` becomes by the merges of lower rank than its own: those it was made
// of when the tokenizer was learned. Other than two where the ranks never came from byte-pair
// encoding.
std::vector<TokenId> PartsOf(const std::string& bytes, TokenId rank,
                             const TextMap<TokenId>& ranks) {
  std::vector<size_t> begins;  // of the parts, and the end
  for (size_t i = 0; i <= bytes.size(); ++i) begins.push_back(i);
  const auto rank_of = [&](size_t from, size_t to) {
    const auto it = ranks.find(std::string_view(bytes).substr(from, to - from));
    return it == ranks.end() ? rank : it->second;
  };
  while (begins.size() > 3) {
    TokenId lowest = rank;
    size_t where = 0;
    for (size_t i = 0; i + 2 < begins.size(); ++i) {
      const TokenId found = rank_of(begins[i], begins[i + 2]);
      if (found < lowest) {
        lowest = found;
        where = i;
      }
    }
    if (lowest == rank) break;
    begins.erase(begins.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
  std::vector<TokenId> parts;
  for (size_t i = 0; i + 1 < begins.size(); ++i) parts.push_back(rank_of(begins[i], begins[i + 1]));
  return parts;
}

// Ranks do not say which split into words they were learned with, and GPT-2's is the one that is
// applied to text. A token of two of its words was learned with another, as those of cl100k and
// Llama 3 were. Letters cut in the middle, and the beginnings of 're and 've, say nothing.
bool IsOneWord(std::string_view bytes) {
  if (bytes == "'r" || bytes == "'v" || bytes == "'l") return true;
  for (size_t at = 0; at < bytes.size();) {
    const int n = FirstCodePoint(bytes.substr(at)).bytes;
    if (n == 0) return true;
    at += static_cast<size_t>(n);
  }
  return WordSplitter(bytes).Next().size() == bytes.size();
}

}  // namespace

absl::StatusOr<Tokenizer> LoadTiktoken(const std::string& path) {
  TokenId end_of_text = 0;
  LR_ASSIGN_OR_RETURN(std::vector<std::string> tokens, ReadTokens(path, &end_of_text));
  TextMap<TokenId> ranks;
  for (TokenId id = 0; id < static_cast<TokenId>(tokens.size()); ++id) {
    if (id != end_of_text) ranks.try_emplace(tokens[static_cast<size_t>(id)], id);
  }
  std::vector<Tokenizer::Merge> merges;
  for (TokenId id = 0; id < static_cast<TokenId>(tokens.size()); ++id) {
    const std::string& bytes = tokens[static_cast<size_t>(id)];
    if (id == end_of_text || bytes.size() < 2) continue;
    if (!IsOneWord(bytes)) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: the token of rank {} is two words as GPT-2 splits text, so another split was used, "
          "and a .tiktoken file does not say which; a tokenizer.json does",
          path, id));
    }
    const std::vector<TokenId> parts = PartsOf(bytes, id, ranks);
    if (parts.size() != 2) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: the token of rank {} cannot be made of two tokens of lower rank, so these "
          "are not the ranks of a byte-pair encoding",
          path, id));
    }
    merges.push_back({parts[0], parts[1], id});
  }
  auto tokenizer = Tokenizer::Make(std::move(tokens), std::move(merges), {end_of_text});
  if (!tokenizer.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", path, std::string(tokenizer.status().message())));
  }
  return tokenizer;
}

}  // namespace longrun::model
