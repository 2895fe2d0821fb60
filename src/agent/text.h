// Text from programs, made fit for the journal and for people's terminals.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace longrun::agent {

// Valid UTF-8 without control characters (but for newlines, where `lines`), at most `limit` bytes:
// what is neither becomes '?', what is too long is cut at a character's end.
std::string CleanText(std::string_view text, size_t limit, bool lines = false);

// The last lines of a stream of bytes.
class LineTail {
 public:
  LineTail(size_t lines, size_t line_bytes) : most_lines_(lines), line_bytes_(line_bytes) {}
  void Append(std::string_view bytes);
  // Cleaned, newline between them; the last one may lack its end.
  std::string Text() const;

 private:
  size_t most_lines_;
  size_t line_bytes_;
  std::deque<std::string> lines_;
  std::string open_;  // the line that has no newline yet
};

}  // namespace longrun::agent
