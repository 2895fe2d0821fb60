#include "serving/openai/json_text.h"

#include <charconv>
#include <cmath>

namespace longrun::serving {

void AppendNumber(float number, std::string* to) {
  if (!std::isfinite(number)) {
    to->append("null");
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  to->append(text);
  // Some clients take a number without a point for an integer.
  if (text.find_first_of(".e") == std::string_view::npos) to->append(".0");
}

void AppendQuoted(std::string_view text, std::string* to) {
  constexpr char kHex[] = "0123456789abcdef";
  to->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      to->push_back('\\');
      to->push_back(c);
    } else if (byte < 0x20) {
      to->append("\\u00");
      to->push_back(kHex[byte >> 4]);
      to->push_back(kHex[byte & 15]);
    } else {
      to->push_back(c);
    }
  }
  to->push_back('"');
}

std::string NumbersText(const std::vector<float>& numbers) {
  std::string text = "[";
  for (const float number : numbers) {
    if (text.size() > 1) text.push_back(',');
    AppendNumber(number, &text);
  }
  text.push_back(']');
  return text;
}

}  // namespace longrun::serving
