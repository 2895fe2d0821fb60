// JSON written straight into a text, for answers of a million values: they are written on the
// thread that takes all answers, which trees of values would keep from others for seconds. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace longrun::serving {

// The fewest digits that give the same float back, as a decimal ("-0.5", "1.0", "1e-08"). What is
// infinite or no number is null.
void AppendNumber(float number, std::string* to);

// `text` is valid UTF-8.
void AppendQuoted(std::string_view text, std::string* to);

// [0.25,-1.0]
std::string NumbersText(const std::vector<float>& numbers);

}  // namespace longrun::serving
