// UTF-8 as strictly as Unicode defines it: no overlong forms, surrogates or values over U+10FFFF.
// Pure functions of any thread; a Utf8Stream belongs to one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace longrun::model {

struct CodePoint {
  uint32_t value = 0;
  int bytes = 0;  // 1 to 4; 0 where the text does not begin with a valid sequence
};

// The code point that `text` begins with. `text` may hold anything, but not nothing.
CodePoint FirstCodePoint(std::string_view text);

bool IsValidUtf8(std::string_view text);

// Appends the code point's UTF-8; `value` is a Unicode scalar value.
void AppendUtf8(uint32_t value, std::string* out);

// Cuts a stream of bytes, as tokens decode to, into whole code points: what serving may send. A
// byte that can belong to no code point comes out as U+FFFD.
class Utf8Stream {
 public:
  // The text that became whole with `bytes`; what may still be completed is kept back (≤ 3 bytes).
  std::string Push(std::string_view bytes);
  // The end: what was kept back comes out as U+FFFD.
  std::string Finish();

 private:
  std::string pending_;
};

}  // namespace longrun::model
