#include "serving/prompt/jinja_text.h"

#include <algorithm>

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

std::vector<MarkedText> SplitAtBlanks(const MarkedText& text, int64_t limit) {
  std::vector<MarkedText> parts;
  const std::string_view bytes = text.bytes();
  // Past the characters from `at` on that are blank, or are not.
  const auto skip = [&](size_t at, bool blank) {
    size_t length = 0;
    while (at < bytes.size() && IsStripped(bytes.substr(at), "", &length) == blank) at += length;
    return std::min(at, bytes.size());
  };
  for (size_t begin = skip(0, true); begin < bytes.size();) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(Strip(text.Substring(begin), "", false, true));
      break;
    }
    const size_t end = skip(begin, false);
    parts.push_back(text.Substring(begin, end - begin));
    begin = skip(end, true);
  }
  return parts;
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

std::vector<MarkedText> Split(const MarkedText& text, std::string_view separator, int64_t limit) {
  if (separator.empty()) return SplitAtBlanks(text, limit);
  std::vector<MarkedText> parts;
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = text.bytes().find(separator, begin);
    if (at == std::string::npos) break;
    parts.push_back(text.Substring(begin, at - begin));
    begin = at + separator.size();
  }
  parts.push_back(text.Substring(begin));
  return parts;
}

MarkedText Replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   int64_t limit) {
  if (from.empty()) return text;
  MarkedText out;
  bool first = true;
  for (const MarkedText& part : Split(text, from, limit)) {
    if (!first) out.Append(to);
    first = false;
    out.Append(part);
  }
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

std::vector<size_t> CharacterPlaces(std::string_view text) {
  std::vector<size_t> places;
  for (size_t at = 0; at < text.size();) {
    places.push_back(at);
    at += static_cast<size_t>(std::max(1, model::FirstCodePoint(text.substr(at)).bytes));
  }
  places.push_back(text.size());
  return places;
}

}  // namespace longrun::serving::jinja
