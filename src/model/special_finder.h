// Finds the special tokens' texts in a text, from front to back. Belongs to one thread; the texts
// it was given must outlive it.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace longrun::model {

class SpecialFinder {
 public:
  SpecialFinder(std::string_view text, std::vector<std::string_view> specials);

  struct Piece {
    std::string_view text;  // up to the special token, or the end
    int special = -1;       // which of `specials` follows; -1: none, the text ends here
  };
  // The next piece; of special tokens that begin at the same place the longest counts. After the
  // one with special -1 there is none.
  Piece Next();

 private:
  std::string_view text_;
  std::vector<std::string_view> specials_;
  std::vector<size_t> places_;  // where each next occurs at or after at_; npos: nowhere
  size_t at_ = 0;
};

}  // namespace longrun::model
