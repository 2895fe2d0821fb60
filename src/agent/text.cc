#include "agent/text.h"

#include <algorithm>
#include <cstdint>

namespace longrun::agent {
namespace {

// Bytes of the well-formed UTF-8 character at the start of `text`, 0 where there is none (RFC
// 3629).
size_t CharacterLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto tail = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!tail(1) || !tail(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

std::string CleanText(std::string_view text, size_t limit, bool lines) {
  std::string out;
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    const uint8_t first = static_cast<uint8_t>(text[0]);
    const bool control = first < 0x20 || first == 0x7f;
    const bool fine = length > 0 && (!control || (lines && first == '\n'));
    const std::string_view piece =
        fine ? text.substr(0, length) : std::string_view(first == '\t' ? " " : "?");
    if (out.size() + piece.size() > limit) break;
    out.append(piece);
    text.remove_prefix(std::max<size_t>(1, fine ? length : 1));
  }
  return out;
}

void LineTail::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, newline);
    const size_t room = line_bytes_ - std::min(line_bytes_, open_.size());
    open_.append(piece.substr(0, room));
    if (newline == std::string_view::npos) return;
    lines_.push_back(std::move(open_));
    open_.clear();
    if (lines_.size() > most_lines_) lines_.pop_front();
    bytes.remove_prefix(newline + 1);
  }
}

std::string LineTail::Text() const {
  std::string all;
  const size_t skip = !open_.empty() && lines_.size() == most_lines_ ? 1 : 0;
  for (size_t i = skip; i < lines_.size(); ++i) all += lines_[i] + "\n";
  all += open_;
  if (!all.empty() && all.back() == '\n') all.pop_back();
  return CleanText(all, (line_bytes_ + 1) * (most_lines_ + 1), true);
}

}  // namespace longrun::agent
