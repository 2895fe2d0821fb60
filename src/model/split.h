// GPT-2's split of text into words, by hand: the same words as its regular expression
// (split_regex.h) in a quarter of the time.
#pragma once

#include <cstddef>
#include <string_view>

#include "model/split_regex.h"

namespace longrun::model {

// Takes a text apart from the front. Belongs to one thread; the text must outlive it.
class WordSplitter {
 public:
  explicit WordSplitter(std::string_view text) : classes_(CharacterClasses().data()), text_(text) {}

  bool Done() const { return at_ == text_.size(); }
  // The next word; not empty. Requires !Done().
  std::string_view Next();

 private:
  struct Character {
    CharacterClass kind;
    size_t bytes;
  };
  Character At(size_t at) const;
  size_t EndOfRun(size_t at, CharacterClass kind) const;
  size_t EndOfContraction() const;
  size_t EndOfSpace(size_t first_bytes) const;

  const CharacterClass* classes_;  // by code point
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace longrun::model
