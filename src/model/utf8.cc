#include "model/utf8.h"

#include "base/check.h"

namespace longrun::model {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How many bytes a sequence beginning with `lead` has; 0 where none does.
int SequenceBytes(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // continuation bytes and overlong forms
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

// Whether `next` may follow `lead` as the second byte: rules out overlong forms, surrogates and
// values over U+10FFFF (Unicode 15, table 3-7).
bool MayFollow(uint8_t lead, uint8_t next) {
  switch (lead) {
    case 0xE0:
      return next >= 0xA0 && next <= 0xBF;
    case 0xED:
      return next >= 0x80 && next <= 0x9F;
    case 0xF0:
      return next >= 0x90 && next <= 0xBF;
    case 0xF4:
      return next >= 0x80 && next <= 0x8F;
    default:
      return (next & 0xC0) == 0x80;
  }
}

// Whether `text`, all of it, is the beginning of a sequence that more bytes could complete.
bool IsIncomplete(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const int bytes = SequenceBytes(lead);
  if (bytes <= static_cast<int>(text.size())) return false;
  if (text.size() >= 2 && !MayFollow(lead, static_cast<uint8_t>(text[1]))) return false;
  return text.size() < 3 || (static_cast<uint8_t>(text[2]) & 0xC0) == 0x80;
}

}  // namespace

CodePoint FirstCodePoint(std::string_view text) {
  LR_CHECK(!text.empty());
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const int bytes = SequenceBytes(lead);
  if (bytes == 0 || static_cast<size_t>(bytes) > text.size() || !MayFollow(lead, byte(1)))
    return {};
  uint32_t value = lead & (0x7Fu >> bytes);
  for (int i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  return {value, bytes};
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const int bytes = FirstCodePoint(text).bytes;
    if (bytes == 0) return false;
    text.remove_prefix(static_cast<size_t>(bytes));
  }
  return true;
}

void AppendUtf8(uint32_t value, std::string* out) {
  LR_CHECK(value < 0x110000 && (value < 0xD800 || value > 0xDFFF));
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (value < 0x80) return put(value);
  if (value < 0x800) {
    put(0xC0 | value >> 6);
  } else {
    if (value < 0x10000) {
      put(0xE0 | value >> 12);
    } else {
      put(0xF0 | value >> 18);
      put(0x80 | (value >> 12 & 0x3F));
    }
    put(0x80 | (value >> 6 & 0x3F));
  }
  put(0x80 | (value & 0x3F));
}

std::string Utf8Stream::Push(std::string_view bytes) {
  pending_.append(bytes);
  std::string whole;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const int n = FirstCodePoint(rest).bytes;
    if (n == 0 && IsIncomplete(rest)) break;
    whole.append(n == 0 ? kReplacement : rest.substr(0, static_cast<size_t>(n)));
    rest.remove_prefix(n == 0 ? 1 : static_cast<size_t>(n));
  }
  pending_ = std::string(rest);
  return whole;
}

std::string Utf8Stream::Finish() {
  std::string out;
  for (size_t i = 0; i < pending_.size(); ++i) out.append(kReplacement);
  pending_.clear();
  return out;
}

}  // namespace longrun::model
