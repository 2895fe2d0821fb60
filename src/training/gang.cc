#include "training/gang.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "training/rendezvous.h"

namespace longrun::training {
namespace {

// All members hear of a membership at the same moment: who is not there by then is not coming.
constexpr std::chrono::seconds kBuildTimeout(30);
// A collective has no timeout of its own: whether a peer is slow or hung is judged by whoever
// watches all of them, and a newer membership ends the wait.
constexpr std::chrono::hours kCollectiveTimeout(24);

// A socket by more than its number, which is used again after a close.
struct SocketId {
  int fd = -1;
  ino_t inode = 0;
  bool operator<(const SocketId& o) const { return inode < o.inode; }
};

bool Identify(int fd, SocketId* id) {
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  *id = {fd, status.st_ino};
  return true;
}

// The process's TCP connections, except those to or from `store_port`.
std::set<SocketId> TcpConnections(uint16_t store_port) {
  std::set<SocketId> found;
  std::error_code error;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error); !error && it != end;
       it.increment(error)) {
    const int fd = atoi(it->path().filename().c_str());
    SocketId id;
    if (!Identify(fd, &id)) continue;
    const auto port = [fd](auto ask) -> int {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      if (ask(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
      if (address.ss_family == AF_INET) {
        return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
      }
      if (address.ss_family == AF_INET6) {
        return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
      }
      return -1;
    };
    const int here = port(getsockname), there = port(getpeername);
    if (here < 0 || there < 0 || here == store_port || there == store_port) continue;
    found.insert(id);
  }
  return found;
}

// gloo's group that can be left: closing its connections is not enough, for that does not wake
// those in this process who wait for data; an end of file does.
class GlooGroup : public c10d::ProcessGroupGloo {
 public:
  using ProcessGroupGloo::ProcessGroupGloo;

  void AllowLongCollectives() {
    for (const auto& context : contexts_) context->setTimeout(kCollectiveTimeout);
  }
  void TakeSockets(const std::set<SocketId>& before, uint16_t store_port) {
    for (const SocketId& id : TcpConnections(store_port)) {
      if (before.count(id) == 0) sockets_.push_back(id);
    }
  }
  // Every operation under way fails within milliseconds, here and at the peers.
  void Shut() {
    for (const SocketId& id : sockets_) {
      SocketId now;
      if (Identify(id.fd, &now) && now.inode == id.inode) ::shutdown(id.fd, SHUT_RDWR);
    }
    sockets_.clear();
  }

 private:
  std::vector<SocketId> sockets_;
};

// The first line of an exception's text: the rest is a stack trace of the library's.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

c10::intrusive_ptr<c10d::Store> Connect(const GangSpec& spec) {
  const Stopwatch watch;
  while (spec.store != GangSpec::Store::kTorch) {
    auto client =
        c10::make_intrusive<RendezvousClient>(spec.store_host, spec.store_port, kBuildTimeout);
    if (spec.store == GangSpec::Store::kMember) return client;
    try {
      client->getNumKeys();
      return client;
    } catch (const std::exception&) {
      if (watch.seconds() > std::chrono::duration<double>(kBuildTimeout).count()) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  c10d::TCPStoreOptions options;
  options.port = spec.store_port;
  options.waitWorkers = false;
  options.timeout = kBuildTimeout;
  return c10::make_intrusive<c10d::TCPStore>(spec.store_host, options);
}

c10::intrusive_ptr<GlooGroup> Build(const GangSpec& spec,
                                    const c10::intrusive_ptr<c10d::Store>& connection) {
  auto store = c10::make_intrusive<c10d::PrefixStore>(
      "incarnation" + std::to_string(spec.incarnation), connection);
  auto options = c10d::ProcessGroupGloo::Options::create(kBuildTimeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(spec.address));
  options->threads = 2;
  const std::set<SocketId> before = TcpConnections(spec.store_port);
  auto group = c10::make_intrusive<GlooGroup>(store, static_cast<int>(spec.rank),
                                              static_cast<int>(spec.world), options);
  group->AllowLongCollectives();
  group->TakeSockets(before, spec.store_port);
  return group;
}

}  // namespace

void Flight::Finish() {
  state_.store(State::kDone, std::memory_order_release);
  bell_->Ring();
}

void Flight::Fail(std::string why) {
  why_ = FirstLine(why);
  state_.store(State::kFailed, std::memory_order_release);
  bell_->Ring();
}

// Shared with the threads that build, transfer and destroy, which may outlive the Gang.
struct Gang::Core {
  std::mutex mutex;
  State state = State::kBuilding;
  std::string why;
  double build_seconds = 0;
  c10::intrusive_ptr<c10d::Store> store;  // while it is being built
  c10::intrusive_ptr<GlooGroup> group;    // null with world 1
  bool abandoned = false;
};

Gang::Gang(GangSpec spec, std::shared_ptr<Bell> bell)
    : spec_(std::move(spec)), bell_(std::move(bell)), core_(std::make_shared<Core>()) {
  // gloo writes to sockets whose other end may be gone, which must not end the program.
  static const auto previous = signal(SIGPIPE, SIG_IGN);
  static_cast<void>(previous);
  if (spec_.world == 1) {
    core_->state = State::kReady;
    return;
  }
  std::thread([spec = spec_, bell = bell_, core = core_] {
    const Stopwatch watch;
    c10::intrusive_ptr<GlooGroup> group;
    std::string why;
    try {
      const auto store = Connect(spec);
      {
        const std::lock_guard<std::mutex> lock(core->mutex);
        core->store = store;
      }
      group = Build(spec, store);
    } catch (const std::exception& error) {
      why = FirstLine(error.what());
    }
    {
      const std::lock_guard<std::mutex> lock(core->mutex);
      core->store.reset();
      if (core->abandoned) {
        core->state = State::kBroken;
      } else if (group == nullptr) {
        core->state = State::kBroken;
        core->why = "the group could not be built: " + why;
      } else {
        core->state = State::kReady;
        core->group = std::move(group);
        core->build_seconds = watch.seconds();
      }
    }
    bell->Ring();
    // Left over means abandoned meanwhile: nothing is under way on it, and it is destroyed here.
    // Its sockets are not shut, for a newer group's may be counted among them.
  }).detach();
}

Gang::~Gang() { Abandon(); }

Gang::State Gang::state() const {
  const std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->state;
}

std::string Gang::why() const {
  const std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->why;
}

double Gang::build_seconds() const {
  const std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->build_seconds;
}

double Gang::age_seconds() const { return age_.seconds(); }

void Gang::Abandon() {
  c10::intrusive_ptr<GlooGroup> group;
  {
    const std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->abandoned) return;
    core_->abandoned = true;
    core_->state = State::kBroken;
    core_->why = "left";
    group = std::move(core_->group);
    auto* rendezvous = dynamic_cast<RendezvousClient*>(core_->store.get());
    if (rendezvous != nullptr) rendezvous->Interrupt();
  }
  if (group == nullptr) return;
  group->Shut();  // at once, for the peers' sake
  std::thread([group = std::move(group)]() mutable { group.reset(); }).detach();
}

template <class Start>
FlightPtr Gang::Launch(at::Tensor tensor, bool own_thread, Start start) {
  auto flight = std::make_shared<Flight>(bell_);
  c10::intrusive_ptr<GlooGroup> group;
  {
    const std::lock_guard<std::mutex> lock(core_->mutex);
    group = core_->group;
    if (core_->state != State::kReady) {
      flight->Fail(core_->why.empty() ? "the group is not built" : core_->why);
      return flight;
    }
  }
  if (group == nullptr) {  // alone: a collective of one changes nothing
    flight->Finish();
    return flight;
  }
  auto run = [flight, group, tensor, start, own_thread]() mutable {
    try {
      std::vector<at::Tensor> tensors{tensor};
      auto work = start(*group, tensors);
      if (own_thread) {
        work->wait();
        flight->Finish();
        return;
      }
      work->getFuture()->addCallback([flight](c10::ivalue::Future& future) {
        if (!future.hasError()) return flight->Finish();
        flight->Fail(future.tryRetrieveErrorMessage());
      });
    } catch (const std::exception& error) {
      flight->Fail(error.what());
    }
  };
  if (own_thread) {
    std::thread(run).detach();
  } else {
    run();
  }
  return flight;
}

FlightPtr Gang::AllReduceSum(at::Tensor tensor) {
  return Launch(tensor, false, [](c10d::ProcessGroupGloo& group, std::vector<at::Tensor>& t) {
    return group.allreduce(t);
  });
}

FlightPtr Gang::Broadcast(at::Tensor tensor, int64_t root) {
  return Launch(tensor, false, [root](c10d::ProcessGroupGloo& group, std::vector<at::Tensor>& t) {
    c10d::BroadcastOptions options;
    options.rootRank = static_cast<int>(root);
    return group.broadcast(t, options);
  });
}

FlightPtr Gang::Send(at::Tensor tensor, int64_t to, int64_t tag) {
  return Launch(tensor, true, [=](c10d::ProcessGroupGloo& group, std::vector<at::Tensor>& t) {
    return group.send(t, static_cast<int>(to), static_cast<int>(tag));
  });
}

FlightPtr Gang::Receive(at::Tensor tensor, int64_t from, int64_t tag) {
  return Launch(tensor, true, [=](c10d::ProcessGroupGloo& group, std::vector<at::Tensor>& t) {
    return group.recv(t, static_cast<int>(from), static_cast<int>(tag));
  });
}

}  // namespace longrun::training
