// Segments to tokens. Text of a special token becomes that token where the template wrote it, and
// stays ordinary text where a user did; everything between special tokens is encoded in one piece,
// as if it came from one hand, so that words at the borders get the tokens they should.
//
// Any thread: it keeps a few TokenEncoders, which remember words.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "serving/prompt/chat_template.h"

namespace longrun::serving {

class PromptEncoder {
 public:
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
