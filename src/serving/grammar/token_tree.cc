#include "serving/grammar/token_tree.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "model/utf8.h"

namespace longrun::serving {
namespace {

using model::TokenId;
using Entry = std::pair<std::string_view, TokenId>;

constexpr size_t kLongestToken = 256;

// How many characters a JSON string takes them as, as they are; -1: it does not.
int32_t PlainCharacters(std::string_view bytes) {
  int32_t count = 0;
  while (!bytes.empty()) {
    const model::CodePoint c = model::FirstCodePoint(bytes);
    if (c.bytes == 0 || c.value < 0x20 || c.value == '"' || c.value == '\\') return -1;
    bytes.remove_prefix(static_cast<size_t>(c.bytes));
    ++count;
  }
  return count;
}

std::vector<TokenNode> TreeOf(std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end());
  std::vector<TokenNode> nodes;
  std::vector<size_t> open;  // the nodes of the newest token's bytes
  std::string_view before;
  const auto close_to = [&](size_t depth) {
    while (open.size() > depth) {
      nodes[open.back()].end = static_cast<uint32_t>(nodes.size());
      open.pop_back();
    }
  };
  for (const auto& [bytes, token] : entries) {
    const auto differ = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
    close_to(static_cast<size_t>(differ.first - before.begin()));
    for (size_t depth = open.size(); depth < bytes.size(); ++depth) {
      open.push_back(nodes.size());
      nodes.push_back(
          {.depth = static_cast<uint16_t>(depth), .byte = static_cast<uint8_t>(bytes[depth])});
    }
    // Of tokens with the same bytes (a byte and its character) the later one: the character.
    nodes[open.back()].token = token;
    before = bytes;
  }
  close_to(0);
  return nodes;
}

}  // namespace

TokenTree::TokenTree(const model::Tokenizer& tokenizer) : vocab_size_(tokenizer.vocab_size()) {
  std::vector<Entry> all, others;
  std::vector<std::pair<int32_t, TokenId>> plain;
  plain_mask_.assign(static_cast<size_t>((vocab_size_ + 31) / 32), 0);
  for (TokenId id = 0; id < vocab_size_; ++id) {
    const std::string_view bytes = tokenizer.TokenBytes(id);
    if (tokenizer.IsSpecial(id) || bytes.empty() || bytes.size() > kLongestToken) continue;
    all.emplace_back(bytes, id);
    const int32_t characters = PlainCharacters(bytes);
    if (characters < 0) {
      others.emplace_back(bytes, id);
    } else {
      plain.emplace_back(characters, id);
      plain_mask_[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    }
  }
  all_ = TreeOf(std::move(all));
  others_ = TreeOf(std::move(others));
  std::sort(plain.begin(), plain.end());
  plain_up_to_.assign(kLongestToken + 1, plain.size());
  for (size_t i = plain.size(); i > 0; --i) {
    // Counts below this token's hold only tokens before it.
    for (int32_t c = plain[i - 1].first - 1; c >= 0 && plain_up_to_[static_cast<size_t>(c)] >= i;
         --c) {
      plain_up_to_[static_cast<size_t>(c)] = i - 1;
    }
  }
  for (const auto& entry : plain) plain_.push_back(entry.second);
}

size_t TokenTree::PlainUpTo(int32_t characters) const {
  return plain_up_to_[std::min(static_cast<size_t>(characters), kLongestToken)];
}

}  // namespace longrun::serving
