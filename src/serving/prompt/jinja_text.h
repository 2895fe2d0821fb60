// Python's text functions on marked text: every byte keeps its origin. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/status.h"
#include "serving/prompt/marked_text.h"

namespace longrun::serving::jinja {

// `characters` "": white space as Python sees it.
MarkedText Strip(const MarkedText& text, std::string_view characters, bool left, bool right);
// Hands the parts to `take`, until it fails. At most `limit` cuts (< 0: all); a separator "" cuts
// at runs of white space.
absl::Status Split(const MarkedText& text, std::string_view separator, int64_t limit,
                   absl::FunctionRef<absl::Status(MarkedText part)> take);
MarkedText Replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   int64_t limit);
// ASCII letters alone change.
MarkedText Upper(const MarkedText& text);
MarkedText Lower(const MarkedText& text);
MarkedText Capitalize(const MarkedText& text);
MarkedText Title(const MarkedText& text);
size_t CharacterCount(std::string_view text);
// Where the `n`-th character begins, counted from 0; the end where there are no more than `n`.
size_t PlaceOfCharacter(std::string_view text, size_t n);

}  // namespace longrun::serving::jinja
