// Tokens of one choice to text as it may be shown: whole characters, nothing of a stop string.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace longrun::serving {

class TextStream {
 public:
  // The tokenizer outlives it. Special tokens have no text.
  TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop);

  struct Piece {
    std::string text;      // valid UTF-8; bytes that cannot become a character are U+FFFD
    bool stopped = false;  // a stop string was met: `text` ends before it, nothing follows
  };
  Piece Push(model::TokenId token);
  // What was held back, at the end.
  std::string Flush();

 private:
  const model::Tokenizer* tokenizer_;
  std::vector<std::string> stop_;
  std::string held_;  // not yet shown
  bool stopped_ = false;
};

}  // namespace longrun::serving
