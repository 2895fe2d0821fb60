// Tokens of one choice to text as it may be shown: whole characters, nothing of a stop string. The
// stop string that is complete first ends the text, of several that are at once the longest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "model/utf8.h"

namespace longrun::serving {

class TextStream {
 public:
  // The tokenizer outlives it. Special tokens have no text but those `shown`; empty stop strings
  // stop nothing.
  TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop,
             std::vector<model::TokenId> shown = {});

  struct Piece {
    std::string text;      // valid UTF-8; bytes that cannot become a character are U+FFFD
    bool stopped = false;  // a stop string was met: `text` ends before it, nothing follows
  };
  Piece Push(model::TokenId token);
  // What was held back, at the end.
  std::string Flush();

 private:
  // One stop string and how much of it the text ends with (Knuth, Morris and Pratt 1977).
  struct Stop {
    std::string text;
    std::vector<size_t> fallback;  // [i]: of text's first i + 1 bytes, the border's length
    size_t matched = 0;
    bool Take(char next);  // true: the whole of it
  };
  Piece Show(const std::string& text);

  const model::Tokenizer* tokenizer_;
  std::vector<Stop> stops_;
  std::vector<model::TokenId> shown_specials_;
  model::Utf8Stream utf8_;
  // From `shown_` on not yet shown: it may become a stop string.
  std::string held_;
  size_t shown_ = 0;
  bool stopped_ = false;
};

}  // namespace longrun::serving
