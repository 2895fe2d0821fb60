// Byte-level byte-pair encoding as GPT-2 does it (Radford et al. 2019; Sennrich et al. 2016): text
// is split into words by GPT-2's regular expression, each word's bytes are merged pair by pair in
// the order the merges were learned. Every byte is a token, so any bytes at all can be encoded, and
// decoding gives exactly them back; a byte that is not valid UTF-8 counts as a symbol when
// splitting. Special tokens such as <|endoftext|> stand beside the merges and come from text only
// when asked.
//
// A Tokenizer never changes once made: any thread may use it. A TokenEncoder remembers words it has
// met (which makes it fast) and belongs to one thread; its Tokenizer must outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"

namespace longrun::model {

using TokenId = int32_t;

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

class WordRegexes;

// How text becomes words and symbols where that is not GPT-2's way. The default is.
struct TextRules {
  // A blank put before a text (or before each piece of it between special tokens).
  enum class Blank { kNone, kUnlessThere, kAlways, kFirstUnlessThere };
  std::shared_ptr<const WordRegexes> words;  // null: GPT-2's split
  Blank blank = Blank::kNone;
  bool whole_words = false;  // a word that is a token is that token, whatever the merges
  // SentencePiece's way: no words, U+2581 is a blank, and merging begins with characters; bytes are
  // for characters that are no token. `byte_tokens` then are the 256 tokens of bytes.
  bool characters = false;
  std::vector<TokenId> byte_tokens;
  std::vector<TokenId> added;   // come from text always, before it is split; not special
  std::vector<TokenId> prefix;  // stand before a text that a model is given (beginning of text)
  std::optional<TokenId> end_of_text;  // where it is not <|endoftext|>

  bool IsGpt2s() const;
};

class Tokenizer {
 public:
  struct Merge {
    TokenId left = 0;
    TokenId right = 0;
    TokenId merged = 0;
    bool operator==(const Merge&) const = default;
  };

  // `tokens[id]`: the bytes of each token, unique; among those that are not special every single
  // byte stands. `merges`: in the order they apply; the merged bytes are those of left and right.
  // `specials`: ids of `tokens` that only EncodeWithSpecials makes out of text.
  static absl::StatusOr<Tokenizer> Make(std::vector<std::string> tokens, std::vector<Merge> merges,
                                        std::vector<TokenId> specials, TextRules rules = {});

  // One token a byte (ids in GPT-2's order) and then the special tokens.
  static Tokenizer Bytes(const std::vector<std::string>& specials = {std::string(kEndOfText)});

  int64_t vocab_size() const { return static_cast<int64_t>(tokens_.size()); }
  // The bytes of a token (of a special one: its text); id in [0, vocab_size).
  std::string_view TokenBytes(TokenId id) const;
  bool IsSpecial(TokenId id) const;
  // The special token of that text, if there is one.
  std::optional<TokenId> Special(std::string_view text) const;
  std::optional<TokenId> end_of_text() const { return end_of_text_; }
  const std::vector<Merge>& merges() const { return merges_; }
  const std::vector<TokenId>& specials() const { return specials_; }
  TokenId ByteToken(uint8_t byte) const { return byte_tokens_[byte]; }
  const TextRules& rules() const { return rules_; }
  // The tokens that Encode does not add but a model expects before a text: its post-processor's.
  const std::vector<TokenId>& prefix() const { return rules_.prefix; }
  // The ordinary token of exactly those bytes; nothing unless the rules have use for it.
  std::optional<TokenId> Whole(std::string_view bytes) const;
  // Of everything that decides which tokens a text gives: token files record it.
  uint64_t hash() const { return hash_; }

  // Bytes to tokens, for once; whoever encodes much keeps a TokenEncoder. Special tokens' text is
  // text like any other.
  std::vector<TokenId> Encode(std::string_view text) const;
  // The same, but the text of a special token becomes that token.
  std::vector<TokenId> EncodeWithSpecials(std::string_view text) const;
  // Exactly the bytes that were encoded, less a blank that was put before them. An id out of range
  // is an InvalidArgument.
  absl::StatusOr<std::string> Decode(std::span<const TokenId> ids) const;

  // The merge of two neighbours: its place in the order and what it makes; rank -1: none.
  struct Join {
    int32_t rank = -1;
    TokenId merged = 0;
  };
  Join Find(TokenId left, TokenId right) const;

 private:
  Tokenizer() = default;
  absl::Status IndexSpecials();
  absl::Status IndexBytes();
  absl::Status IndexMerges();
  absl::Status IndexRules();

  std::vector<std::string> tokens_;
  std::vector<Merge> merges_;
  std::vector<TokenId> specials_;
  std::vector<bool> is_special_;  // by id
  TokenId byte_tokens_[256] = {};
  absl::flat_hash_map<uint64_t, Join> joins_;  // left << 32 | right
  std::optional<TokenId> end_of_text_;
  TextRules rules_;
  absl::flat_hash_map<std::string, TokenId> wholes_;
  uint64_t hash_ = 0;
};

class TokenEncoder {
 public:
  explicit TokenEncoder(const Tokenizer& tokenizer);
  ~TokenEncoder();
  TokenEncoder(const TokenEncoder&) = delete;
  TokenEncoder& operator=(const TokenEncoder&) = delete;

  // Appends the tokens of `text` to `out`. Memory for remembered words is bounded (some 30 MB).
  void Encode(std::string_view text, std::vector<TokenId>* out);
  void EncodeWithSpecials(std::string_view text, std::vector<TokenId>* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace longrun::model
