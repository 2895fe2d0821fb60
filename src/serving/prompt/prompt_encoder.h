// Segments to tokens. Text of a special token becomes that token where the template wrote it, and
// stays ordinary text where a user did; everything between special tokens is encoded in one piece,
// as if it came from one hand, so that words at the borders get the tokens they should.
//
// Any thread: it keeps a few TokenEncoders, which remember words.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "serving/prompt/chat_template.h"

namespace longrun::serving {

class PromptEncoder {
 public:
  // Of each thread that encodes at a time: the words that its TokenEncoder remembers.
  static constexpr int64_t kMostBytes = 30'000'000;
  // Of each byte of a text while it is encoded, with its tokens.
  static constexpr int64_t kBytesOfByte = 48;

  // The tokenizer outlives it.
  explicit PromptEncoder(const model::Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  std::vector<model::TokenId> Encode(const std::vector<Segment>& segments);
  // Ordinary text alone.
  std::vector<model::TokenId> EncodeText(std::string_view text);

 private:
  class Lease;
  const model::Tokenizer* tokenizer_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<model::TokenEncoder>> idle_;
};

}  // namespace longrun::serving
