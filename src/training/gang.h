// The process group of one incarnation, made so that it can be left at any moment.
//
// A Gang begins to build itself in the background when it is made, on the store of its rank 0, and
// is `kReady` or `kBroken` after a while. Collectives return Flights at once; whoever waits for one
// also watches for a newer membership, and leaves by dropping the Gang. Nothing here ever waits for
// a peer on the caller's thread: a peer may be dead, or stopped, or gone on to another incarnation.
//
// Dropping or abandoning a Gang shuts its sockets, which makes every collective under way fail,
// here and at the peers: so all survivors learn of a death that only the neighbours in the ring
// could see. What is left is destroyed by a thread of its own. Tensors in a Flight stay alive until
// it ends, but may be written to until then: after abandoning, do not use them again.
//
// Collectives must be called in the same order on every rank, from one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <torch/torch.h>

#include "base/time.h"
#include "training/bell.h"

namespace longrun::training {

struct GangSpec {
  int64_t incarnation = 0;
  int64_t rank = 0;
  int64_t world = 1;
  std::string store_host;  // where rank 0's rendezvous listens
  uint16_t store_port = 0;
  enum class Store {
    kMember,    // a RendezvousServer that listens, or its process is dead
    kLauncher,  // a RendezvousServer that may not listen yet
    kTorch,     // a c10d::TCPStore of the launcher's
  } store = Store::kMember;
  std::string address = "127.0.0.1";  // of this process, for peers to connect to
};

// A collective under way. Thread-safe.
class Flight {
 public:
  enum class State { kRunning, kDone, kFailed };
  explicit Flight(std::shared_ptr<Bell> bell) : bell_(std::move(bell)) {}
  State state() const { return state_.load(std::memory_order_acquire); }
  bool done() const { return state() == State::kDone; }
  const std::string& why() const { return why_; }  // once failed
  void Finish();
  void Fail(std::string why);

 private:
  std::atomic<State> state_{State::kRunning};
  std::string why_;
  std::shared_ptr<Bell> bell_;
};
using FlightPtr = std::shared_ptr<Flight>;

class Gang {
 public:
  enum class State { kBuilding, kReady, kBroken };

  Gang(GangSpec spec, std::shared_ptr<Bell> bell);
  ~Gang();  // abandons
  Gang(const Gang&) = delete;
  Gang& operator=(const Gang&) = delete;

  const GangSpec& spec() const { return spec_; }
  State state() const;
  std::string why() const;       // once broken
  double build_seconds() const;  // from the membership to a ready group
  double age_seconds() const;    // since the membership arrived

  // Sum over all ranks, in place. `tensor` is contiguous. Same bits on every rank.
  FlightPtr AllReduceSum(at::Tensor tensor);
  FlightPtr Broadcast(at::Tensor tensor, int64_t root);
  // Pairs are told apart by `tag`; at most a few at a time (each has a thread while it lasts).
  FlightPtr Send(at::Tensor tensor, int64_t to, int64_t tag);
  FlightPtr Receive(at::Tensor tensor, int64_t from, int64_t tag);

  void Abandon();

 private:
  struct Core;
  template <class Start>
  FlightPtr Launch(at::Tensor tensor, bool own_thread, Start start);

  const GangSpec spec_;
  const Stopwatch age_;
  std::shared_ptr<Bell> bell_;
  std::shared_ptr<Core> core_;
};

}  // namespace longrun::training
