// Text whose every byte is known to come from a chat template or from somebody's message. Only the
// template's own bytes may become special tokens; what users write never does.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace longrun::serving {

enum class Origin : char { kTemplate, kMessage };

class MarkedText {
 public:
  MarkedText() = default;
  MarkedText(std::string bytes, Origin origin)
      : bytes_(std::move(bytes)), origins_(bytes_.size(), static_cast<char>(origin)) {}

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  Origin origin(size_t at) const { return static_cast<Origin>(origins_[at]); }

  void Append(const MarkedText& other) {
    bytes_ += other.bytes_;
    origins_ += other.origins_;
  }
  void Append(std::string_view bytes, Origin origin) {
    bytes_ += bytes;
    origins_.append(bytes.size(), static_cast<char>(origin));
  }
  MarkedText Substring(size_t from, size_t count = std::string::npos) const {
    MarkedText part;
    part.bytes_ = bytes_.substr(from, count);
    part.origins_ = origins_.substr(from, count);
    return part;
  }
  // The same with each byte changed; a byte keeps its origin.
  template <class F>
  MarkedText Map(F change) const {
    MarkedText changed = *this;
    for (char& byte : changed.bytes_) byte = change(byte);
    return changed;
  }
  // Where nothing of it was written by others: the template's; else the message's.
  Origin OriginOfAll() const {
    return origins_.find(static_cast<char>(Origin::kMessage)) == std::string::npos
               ? Origin::kTemplate
               : Origin::kMessage;
  }

 private:
  std::string bytes_;
  std::string origins_;  // one for each byte
};

}  // namespace longrun::serving
