// A vocabulary as a tree of its tokens' bytes, so that tokens which begin alike are looked at
// together. Never changes; any thread may read it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace longrun::serving {

// In the order of a walk from the root: what follows a node up to `end` begins with its bytes.
struct TokenNode {
  uint32_t end = 0;
  model::TokenId token = -1;  // -1: no token ends here
  uint16_t depth = 0;         // its byte's place in the token
  uint8_t byte = 0;
};

class TokenTree {
 public:
  // Of the tokens that are not special; those over 256 bytes are left out.
  explicit TokenTree(const model::Tokenizer& tokenizer);

  int64_t vocab_size() const { return vocab_size_; }
  std::span<const TokenNode> all() const { return all_; }
  // Those that are not plain: they hold a quotation mark, a backslash, a control character, or no
  // whole characters.
  std::span<const TokenNode> others() const { return others_; }
  // Plain tokens: whole characters that a JSON string takes as they are.
  std::span<const uint32_t> plain_mask() const { return plain_mask_; }
  // By rising number of characters, and how many tokens have at most so many.
  std::span<const model::TokenId> plain() const { return plain_; }
  size_t PlainUpTo(int32_t characters) const;

 private:
  int64_t vocab_size_;
  std::vector<TokenNode> all_;
  std::vector<TokenNode> others_;
  std::vector<uint32_t> plain_mask_;
  std::vector<model::TokenId> plain_;
  std::vector<size_t> plain_up_to_;  // [characters]
};

}  // namespace longrun::serving
