// How byte-level BPE writes bytes in text files (GPT-2's bytes_to_unicode): printable Latin-1
// stands for itself, the other 68 bytes for U+0100 + n, so that no token holds a space or control
// character. Pure functions of any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace longrun::model {

// The 256 bytes in the order GPT-2 numbers them: the printable ones, then the other 68.
const std::array<uint8_t, 256>& BytesInGpt2Order();

std::string BytesToText(std::string_view bytes);
// Nothing where a character stands for no byte.
std::optional<std::string> TextToBytes(std::string_view text);

}  // namespace longrun::model
