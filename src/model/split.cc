#include "model/split.h"

#include "model/utf8.h"

namespace longrun::model {

WordSplitter::Character WordSplitter::At(size_t at) const {
  const auto byte = static_cast<uint8_t>(text_[at]);
  if (byte < 0x80) return {classes_[byte], 1};
  const CodePoint c = FirstCodePoint(text_.substr(at));
  if (c.bytes == 0) return {CharacterClass::kOther, 1};
  return {classes_[c.value], static_cast<size_t>(c.bytes)};
}

// Where the characters of one kind that begin at `at` end.
size_t WordSplitter::EndOfRun(size_t at, CharacterClass kind) const {
  while (at < text_.size()) {
    const Character c = At(at);
    if (c.kind != kind) break;
    at += c.bytes;
  }
  return at;
}

// 's|'t|'re|'ve|'m|'ll|'d: its end, or at_ where there is none.
size_t WordSplitter::EndOfContraction() const {
  if (text_[at_] != '\'' || at_ + 1 == text_.size()) return at_;
  const char first = text_[at_ + 1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at_ + 2;
  const std::string_view two = text_.substr(at_ + 1, 2);
  return two == "re" || two == "ve" || two == "ll" ? at_ + 3 : at_;
}

// \s+(?!\S)|\s+: white space up to the last character before a word, which goes with the word (or,
// being no plain space, makes one of its own); all of it at the end of the text.
size_t WordSplitter::EndOfSpace(size_t first_bytes) const {
  size_t end = at_ + first_bytes;
  size_t last = at_;  // where the run's last character begins
  while (end < text_.size()) {
    const Character c = At(end);
    if (c.kind != CharacterClass::kSpace) return last == at_ ? end : last;
    last = end;
    end += c.bytes;
  }
  return end;
}

std::string_view WordSplitter::Next() {
  const size_t begin = at_;
  const Character first = At(begin);
  size_t end = EndOfContraction();
  if (end == begin) {
    if (first.kind != CharacterClass::kSpace) {
      end = EndOfRun(begin + first.bytes, first.kind);
    } else if (text_[begin] == ' ' && begin + 1 < text_.size() &&
               At(begin + 1).kind != CharacterClass::kSpace) {
      end = EndOfRun(begin + 1, At(begin + 1).kind);
    } else {
      end = EndOfSpace(first.bytes);
    }
  }
  at_ = end;
  return text_.substr(begin, end - begin);
}

}  // namespace longrun::model
