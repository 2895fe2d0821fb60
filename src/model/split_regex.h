// Splits of text into words by regular expressions, run by PCRE2: those that other tokenizers than
// GPT-2's name, and GPT-2's own, the reference that the fast splitter of split.h is tested against
// and where that takes its classes of characters from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::model {

// The words of `text`, which together are all of it. A byte that is not valid UTF-8 counts as a
// symbol. Any thread may call it.
std::vector<std::string_view> SplitByRegex(std::string_view text);

inline constexpr char kGpt2Split[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class Pcre;

// Expressions applied one after another: each cuts the pieces it is given into its matches and what
// lies between them. Any thread may use it.
class WordRegexes {
 public:
  // InvalidArgument names the expression and what is wrong in it. \s means white space as Unicode
  // has it.
  static absl::StatusOr<std::shared_ptr<const WordRegexes>> Make(std::vector<std::string> patterns);
  ~WordRegexes();

  // The pieces of `text`, which together are all of it. The steps of matching are bounded: where an
  // expression takes too many, the rest of the piece is not cut.
  std::vector<std::string_view> Split(std::string_view text) const;
  const std::vector<std::string>& patterns() const { return patterns_; }

 private:
  WordRegexes();
  std::vector<std::string> patterns_;
  std::vector<std::unique_ptr<const Pcre>> regexes_;
};

enum class CharacterClass : uint8_t { kOther, kLetter, kNumber, kSpace };

// The class of each code point below 0x110000, as the regular expression sees it. Made at the first
// call (some 20 ms); any thread may call it.
const std::vector<CharacterClass>& CharacterClasses();

}  // namespace longrun::model
