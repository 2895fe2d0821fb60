// Bytes that several parties hold together, shared out so that nobody can take them all: a party
// may hold more while it holds no more than is left free (dynamic thresholds: Choudhury and Hahne,
// IEEE/ACM Transactions on Networking 6(2), 1998). Alone it gets half; n of them get a part each of
// n + 1; whoever comes last always finds something, and no number of parties needs to be known.
//
// An account and its parties are any thread's; a FairShare is guarded by its owner.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace longrun {

class FairAccount {
 public:
  class Party {
   public:
    explicit Party(FairAccount* account) : account_(account) {}
    int64_t bytes() const { return bytes_; }

   private:
    friend class FairShare;
    FairAccount* const account_;
    std::atomic<int64_t> bytes_{0};
  };

  explicit FairAccount(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  FairAccount(const FairAccount&) = delete;
  FairAccount& operator=(const FairAccount&) = delete;

  int64_t bytes() const { return bytes_; }
  int64_t limit_bytes() const { return limit_bytes_; }
  // The same one for the same name, as long as the account lives: names are those of a bounded set.
  Party* PartyOf(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return &parties_.try_emplace(name, this).first->second;
  }

 private:
  friend class FairShare;
  const int64_t limit_bytes_;
  std::atomic<int64_t> bytes_{0};
  std::mutex mutex_;  // of the map; parties stay where they are
  std::map<std::string, Party> parties_;
};

// What one thing of a party holds; given back when it goes.
class FairShare {
 public:
  explicit FairShare(FairAccount::Party* party) : party_(party) {}
  ~FairShare() { Set(0); }
  FairShare(const FairShare&) = delete;
  FairShare& operator=(const FairShare&) = delete;

  int64_t bytes() const { return bytes_; }
  // False: its party would hold more than it leaves free. It counts until it is set anew all the
  // same. Less is always right.
  bool Set(int64_t bytes) {
    const int64_t more = bytes - std::exchange(bytes_, bytes);
    FairAccount& account = *party_->account_;
    const int64_t own = party_->bytes_ += more;
    const int64_t all = account.bytes_ += more;
    return more <= 0 || own <= account.limit_bytes_ - all;
  }
  // What it holds is another's from now on.
  void MoveTo(FairAccount::Party* party) {
    if (party == party_) return;
    const int64_t bytes = bytes_;
    Set(0);
    party_ = party;
    Set(bytes);
  }

 private:
  FairAccount::Party* party_;
  int64_t bytes_ = 0;
};

}  // namespace longrun
