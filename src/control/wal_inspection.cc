#include "control/wal_inspection.h"

#include <unistd.h>

#include <cstddef>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace longrun::control {
namespace {

constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr int64_t kSizeLimit = int64_t{4} << 30;

struct Checksum {
  uint32_t s0 = 0;
  uint32_t s1 = 0;
  bool operator==(const Checksum&) const = default;
};

uint32_t Word(std::string_view bytes, size_t at, bool big_endian) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) {
    word |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i]))
            << 8 * (big_endian ? 3 - i : i);
  }
  return word;
}

uint32_t BigEndian(std::string_view bytes, size_t at) { return Word(bytes, at, true); }

// Section 4.2 of the format. `bytes`: a multiple of 8.
Checksum Extend(Checksum sum, std::string_view bytes, bool big_endian) {
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    sum.s0 += Word(bytes, i, big_endian) + sum.s1;
    sum.s1 += Word(bytes, i + 4, big_endian) + sum.s0;
  }
  return sum;
}

Checksum Stored(std::string_view bytes, size_t at) {
  return {BigEndian(bytes, at), BigEndian(bytes, at + 4)};
}

}  // namespace

absl::StatusOr<WalReport> InspectWal(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return WalReport{};
  LR_ASSIGN_OR_RETURN(const std::string wal, ReadFile(path, kSizeLimit));
  const std::string_view bytes = wal;
  if (bytes.empty()) return WalReport{};
  const auto damaged = [&](const std::string& what) {
    return WalReport{true, absl::StrCat(path, ": ", what)};
  };
  // A log of one frame or less that has no whole header is a first write cut short.
  if (bytes.size() < kHeaderBytes + kFrameHeaderBytes) return WalReport{};
  const uint32_t magic = BigEndian(bytes, 0);
  const uint32_t page_size = BigEndian(bytes, 8);
  const bool big_endian = magic == 0x377f0683;
  Checksum sum = Extend({}, bytes.substr(0, 24), big_endian);
  if ((magic & ~1u) != 0x377f0682 || page_size < 512 || page_size > 65536 ||
      sum != Stored(bytes, 24)) {
    return damaged("the header of the write-ahead log is damaged");
  }
  const std::string_view salts = bytes.substr(16, 8);
  const size_t frame_bytes = kFrameHeaderBytes + page_size;
  const size_t frames = (bytes.size() - kHeaderBytes) / frame_bytes;
  size_t first_bad = frames;
  for (size_t i = 0; i < frames; ++i) {
    const std::string_view frame = bytes.substr(kHeaderBytes + i * frame_bytes, frame_bytes);
    const bool current = frame.substr(8, 8) == salts;
    if (first_bad == frames) {
      const Checksum next = Extend(Extend(sum, frame.substr(0, 8), big_endian),
                                   frame.substr(kFrameHeaderBytes), big_endian);
      const bool whole = next == Stored(frame, 16);
      if (whole && current) {
        sum = next;
        continue;
      }
      first_bad = i;
      // Frames of an earlier use of the file have other salts and a sum that does not follow.
      if (!whole && !current) continue;
    } else if (!current) {
      continue;
    }
    return damaged(absl::StrCat(
        "frame ", first_bad + 1, " of ", frames,
        " of the write-ahead log is damaged; what it and the frames behind it held is lost "
        "(nothing "
        "that was acknowledged, if the machine lost power while it wrote this frame)"));
  }
  return WalReport{};
}

}  // namespace longrun::control
