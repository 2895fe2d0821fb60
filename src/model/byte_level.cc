#include "model/byte_level.h"

#include "model/utf8.h"

namespace longrun::model {
namespace {

bool StandsForItself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Mapping {
  std::array<uint8_t, 256> order = {};
  std::array<std::string, 256> text;      // of each byte
  std::array<int16_t, 256 + 68> byte_of;  // of each character, -1: none

  Mapping() {
    byte_of.fill(-1);
    size_t place = 0;
    for (int byte = 0; byte < 256; ++byte) {
      if (StandsForItself(byte)) Add(byte, static_cast<uint32_t>(byte), place++);
    }
    uint32_t character = 256;
    for (int byte = 0; byte < 256; ++byte) {
      if (!StandsForItself(byte)) Add(byte, character++, place++);
    }
  }

  void Add(int byte, uint32_t character, size_t place) {
    order[place] = static_cast<uint8_t>(byte);
    AppendUtf8(character, &text[static_cast<size_t>(byte)]);
    byte_of[character] = static_cast<int16_t>(byte);
  }
};

const Mapping& Map() {
  static const Mapping mapping;
  return mapping;
}

}  // namespace

const std::array<uint8_t, 256>& BytesInGpt2Order() { return Map().order; }

std::string BytesToText(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += Map().text[static_cast<uint8_t>(byte)];
  return text;
}

std::optional<std::string> TextToBytes(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const CodePoint c = FirstCodePoint(text);
    if (c.bytes == 0 || c.value >= Map().byte_of.size() || Map().byte_of[c.value] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(Map().byte_of[c.value]));
    text.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return bytes;
}

}  // namespace longrun::model
