// Python's text functions on marked text: every byte keeps its origin. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "serving/prompt/marked_text.h"

namespace longrun::serving::jinja {

// `characters` "": white space as Python sees it.
MarkedText Strip(const MarkedText& text, std::string_view characters, bool left, bool right);
// At most `limit` cuts (< 0: all); a separator "" cuts at runs of white space.
std::vector<MarkedText> Split(const MarkedText& text, std::string_view separator, int64_t limit);
MarkedText Replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   int64_t limit);
// ASCII letters alone change.
MarkedText Upper(const MarkedText& text);
MarkedText Lower(const MarkedText& text);
MarkedText Capitalize(const MarkedText& text);
MarkedText Title(const MarkedText& text);
// Where the characters begin, and the end.
std::vector<size_t> CharacterPlaces(std::string_view text);

}  // namespace longrun::serving::jinja
