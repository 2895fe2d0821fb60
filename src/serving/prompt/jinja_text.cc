#include "serving/prompt/jinja_text.h"

#include <algorithm>
#include <utility>

#include "model/utf8.h"

namespace longrun::serving::jinja {
namespace {

char UpperOf(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char LowerOf(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool IsLetter(char c) { return UpperOf(c) != LowerOf(c) || (c & 0x80) != 0; }

// str.isspace of Python 3.
bool IsBlank(uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// Whether the character that begins at `text` is to be stripped; its length in `bytes`.
bool IsStripped(std::string_view text, std::string_view characters, size_t* bytes) {
  const model::CodePoint point = model::FirstCodePoint(text);
  *bytes = static_cast<size_t>(std::max(1, point.bytes));
  if (characters.empty()) return point.bytes > 0 && IsBlank(point.value);
  return characters.find(text.substr(0, *bytes)) != std::string_view::npos;
}

using TakePart = absl::FunctionRef<absl::Status(MarkedText part)>;

size_t BytesOfCharacter(std::string_view text, size_t at) {
  return static_cast<size_t>(std::max(1, model::FirstCodePoint(text.substr(at)).bytes));
}

absl::Status SplitAtBlanks(const MarkedText& text, int64_t limit, TakePart take) {
  const std::string_view bytes = text.bytes();
  int64_t cuts = 0;
  // Past the characters from `at` on that are blank, or are not.
  const auto skip = [&](size_t at, bool blank) {
    size_t length = 0;
    while (at < bytes.size() && IsStripped(bytes.substr(at), "", &length) == blank) at += length;
    return std::min(at, bytes.size());
  };
  for (size_t begin = skip(0, true); begin < bytes.size();) {
    if (cuts++ == limit) return take(Strip(text.Substring(begin), "", false, true));
    const size_t end = skip(begin, false);
    LR_RETURN_IF_ERROR(take(text.Substring(begin, end - begin)));
    begin = skip(end, true);
  }
  return absl::OkStatus();
}

}  // namespace

MarkedText Strip(const MarkedText& text, std::string_view characters, bool left, bool right) {
  const std::string_view bytes = text.bytes();
  size_t begin = 0, end = bytes.size(), length = 0;
  while (left && begin < end && IsStripped(bytes.substr(begin), characters, &length))
    begin = std::min(begin + length, end);
  while (right && end > begin) {
    size_t last = end - 1;
    while (last > begin && (bytes[last] & 0xC0) == 0x80) --last;
    if (!IsStripped(bytes.substr(last, end - last), characters, &length)) break;
    end = last;
  }
  return text.Substring(begin, end - begin);
}

absl::Status Split(const MarkedText& text, std::string_view separator, int64_t limit,
                   TakePart take) {
  if (separator.empty()) return SplitAtBlanks(text, limit, take);
  size_t begin = 0;
  for (int64_t cuts = 0; cuts != limit; ++cuts) {
    const size_t at = text.bytes().find(separator, begin);
    if (at == std::string::npos) break;
    LR_RETURN_IF_ERROR(take(text.Substring(begin, at - begin)));
    begin = at + separator.size();
  }
  return take(text.Substring(begin));
}

MarkedText Replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   int64_t limit) {
  if (from.empty()) return text;
  MarkedText out;
  bool first = true;
  const auto append = [&](const MarkedText& part) {
    if (!std::exchange(first, false)) out.Append(to);
    out.Append(part);
    return absl::OkStatus();
  };
  Split(text, from, limit, append).IgnoreError();  // it has none
  return out;
}

MarkedText Upper(const MarkedText& text) { return text.Map(UpperOf); }
MarkedText Lower(const MarkedText& text) { return text.Map(LowerOf); }

MarkedText Capitalize(const MarkedText& text) {
  bool first = true;
  return text.Map([&](char c) { return std::exchange(first, false) ? UpperOf(c) : LowerOf(c); });
}

MarkedText Title(const MarkedText& text) {
  bool inside = false;
  return text.Map([&](char c) {
    const char changed = inside ? LowerOf(c) : UpperOf(c);
    inside = IsLetter(c);
    return changed;
  });
}

size_t CharacterCount(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += BytesOfCharacter(text, at)) ++count;
  return count;
}

size_t PlaceOfCharacter(std::string_view text, size_t n) {
  size_t at = 0;
  for (; at < text.size() && n > 0; --n) at += BytesOfCharacter(text, at);
  return std::min(at, text.size());
}

}  // namespace longrun::serving::jinja
