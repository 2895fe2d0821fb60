// GPT-2's split of text into words by its regular expression, run by PCRE2: the reference that the
// fast splitter of split.h is tested against, and where that takes its classes of characters from.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace longrun::model {

// The words of `text`, which together are all of it. A byte that is not valid UTF-8 counts as a
// symbol. Any thread may call it.
std::vector<std::string_view> SplitByRegex(std::string_view text);

enum class CharacterClass : uint8_t { kOther, kLetter, kNumber, kSpace };

// The class of each code point below 0x110000, as the regular expression sees it. Made at the first
// call (some 20 ms); any thread may call it.
const std::vector<CharacterClass>& CharacterClasses();

}  // namespace longrun::model
