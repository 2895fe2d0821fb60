// What one connection has to send and has not sent yet, and what it holds for the answer to come;
// all of it on the server's account. Guarded by its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fair_account.h"
#include "net/request_reader.h"

namespace longrun::net {

// What each may hold of requests, and of answers, however much others do: so that short ones are
// always answered.
inline constexpr int64_t kAlwaysBytes = 8 << 10;

inline bool SetOrAlways(FairShare* share, int64_t bytes) {
  return share->Set(bytes) || bytes <= kAlwaysBytes;
}

class Outgoing {
 public:
  explicit Outgoing(FairAccount::Party* party) : held_(party), elsewhere_(party) {}

  void BelongTo(FairAccount::Party* party) {
    held_.MoveTo(party);
    elsewhere_.MoveTo(party);
  }
  // Held elsewhere for the answer to come; false: it is too much.
  bool HoldElsewhere(int64_t bytes) { return SetOrAlways(&elsewhere_, bytes); }
  // Whether so much more may wait here, in place of what was elsewhere.
  bool HasRoomFor(size_t bytes) {
    elsewhere_.Set(0);
    return Hold(bytes);
  }

  void Add(std::string_view bytes) { waiting_ += bytes; }
  // A chunk of a stream, of which `most` bytes may wait; false: its client has fallen behind, or
  // all hold too much. What was unsent before counts, and a chunk larger than that not at all until
  // it is out: its size says nothing of how fast it is read. The account bounds them all.
  bool AddChunk(const std::string& chunk, bool framed, size_t most) {
    const bool behind = waiting_.size() + unsent_ > most + large_bytes_;
    if (chunk.size() > most) large_bytes_ += chunk.size();
    if (framed) {
      absl::StrAppend(&waiting_, absl::Hex(chunk.size()), "\r\n", chunk, "\r\n");
    } else {
      waiting_ += chunk;
    }
    return Hold(0) && !behind;
  }

  bool empty() const { return waiting_.empty(); }
  // All that waits: it is being sent from now on, and counts until it is whole.
  std::string Take() {
    unsent_ = sending_bytes_ = waiting_.size();
    return std::exchange(waiting_, {});
  }
  void SetUnsent(size_t bytes) { unsent_ = bytes; }  // of what was taken
  void EndSending() {
    unsent_ = sending_bytes_ = 0;
    if (waiting_.empty()) large_bytes_ = 0;
    Hold(0);
  }
  void Drop() {
    Release(&waiting_);
    Hold(0);
    elsewhere_.Set(0);
  }
  void DropElsewhere() { elsewhere_.Set(0); }

 private:
  bool Hold(size_t more) {
    return SetOrAlways(&held_, static_cast<int64_t>(waiting_.size() + sending_bytes_ + more));
  }

  std::string waiting_;
  size_t sending_bytes_ = 0, unsent_ = 0;  // of what was taken, whose memory is whole until the end
  size_t large_bytes_ = 0;  // of chunks larger than a stream's buffer, until all is out
  FairShare held_, elsewhere_;
};

}  // namespace longrun::net
