// The logprobs of one choice as JSON, in the form of chats or of completions, written token by
// token as they come: at a choice's end nothing is left to do but to join. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "model/utf8.h"
#include "serving/request.h"

namespace longrun::serving {

// Where the text of each token of a choice begins, in characters (code points) of the choice's text
// as TextStream makes it: special tokens have none, and a character that several tokens make up
// counts once.
class TextOffsets {
 public:
  // The tokenizer outlives it. `start`: the offset of the first; -1 for a text before which the
  // tokenizer put a blank that is not of it.
  explicit TextOffsets(const model::Tokenizer* tokenizer, int64_t start = 0)
      : tokenizer_(tokenizer), characters_(start) {}

  // The offset of the next token: of the character that its first byte belongs to.
  int64_t Next(TokenId token);
  // What follows is a text of its own: what an echoed prompt left unfinished stays so.
  void EndText();
  int64_t characters() const { return characters_; }

 private:
  const model::Tokenizer* tokenizer_;
  model::Utf8Stream utf8_;
  int64_t characters_;  // of the text that is whole
};

class LogprobsText {
 public:
  virtual ~LogprobsText() = default;
  virtual void Add(const std::vector<Logprobs>& tokens) = 0;
  // An echoed prompt's, whose text is `text`; before all others.
  virtual void AddEcho(std::string_view text, const std::vector<Logprobs>& tokens) = 0;
  // No token since the last Take.
  virtual bool empty() const = 0;
  virtual size_t bytes() const = 0;  // that it holds
  // Appends the object of all tokens since the last Take.
  virtual void TakeTo(std::string* to) = 0;
};

// The tokenizer outlives them.
std::unique_ptr<LogprobsText> ChatLogprobsText(const model::Tokenizer* tokenizer);
std::unique_ptr<LogprobsText> CompletionLogprobsText(const model::Tokenizer* tokenizer);

// Code points of valid UTF-8.
int64_t CharacterCount(std::string_view text);

}  // namespace longrun::serving
