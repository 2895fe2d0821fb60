#include "training/membership.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "longrun/rank.h"
#include "training/rendezvous.h"

namespace longrun::training {
namespace {

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

// Where peers reach this process: what Longrun says, else loopback.
std::string OwnAddress() {
  const std::string address = Environment("LONGRUN_ADDRESS");
  return address.empty() ? "127.0.0.1" : address;
}

// "host:port", the host perhaps an IPv6 address in brackets.
bool SplitEndpoint(const std::string& endpoint, std::string* host, uint16_t* port) {
  const size_t colon = endpoint.rfind(':');
  int number = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(endpoint.substr(colon + 1), &number) ||
      number < 1 || number > 65535) {
    return false;
  }
  *host = endpoint.substr(0, colon);
  if (host->size() > 2 && host->front() == '[') *host = host->substr(1, host->size() - 2);
  *port = static_cast<uint16_t>(number);
  return !host->empty();
}

// Memberships come from the agent's socket. The group of a new one begins to build on the
// connection's thread, at once, while the training loop may still be in the backward pass of a
// step.
class LongrunMembership : public Membership {
 public:
  LongrunMembership(std::shared_ptr<Bell> bell, std::unique_ptr<RendezvousServer> server)
      : bell_(std::move(bell)),
        server_(std::move(server)),
        rank_(Rank::Connect(absl::StrCat(OwnAddress(), ":", server_->port()), 0)) {
    rank_->OnChange([this] { Changed(); });
    Changed();
  }
  ~LongrunMembership() override { rank_->OnChange(nullptr); }

  absl::StatusOr<std::shared_ptr<Gang>> Next(int64_t than) override {
    std::shared_ptr<Gang> found;
    bell_->WaitUntil([&] {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (gang_ != nullptr && gang_->spec().incarnation > than) found = std::move(gang_);
      return found != nullptr || rank_->stop_requested();
    });
    if (found == nullptr) return absl::CancelledError(rank_->stop_reason());
    return found;
  }
  bool Superseded(int64_t incarnation) const override { return rank_->incarnation() > incarnation; }
  bool stop_requested() const override { return rank_->stop_requested(); }
  void RequestStop(const std::string& reason) override { rank_->RequestStop(reason); }

  void Joined(int64_t incarnation, int64_t step, const std::string& source,
              double seconds) override {
    rank_->Joined(incarnation, step, source, seconds);
  }
  void Commit(int64_t incarnation, int64_t step, double loss, int64_t tokens,
              double seconds) override {
    rank_->Commit(incarnation, step, loss, tokens, seconds);
  }
  void Waiting(int64_t incarnation) override { rank_->Waiting(incarnation); }
  void Broken(int64_t incarnation, const std::string& what) override {
    rank_->Broken(incarnation, what);
  }
  void Checkpoint(int64_t step, double seconds, double stall) override {
    rank_->Checkpoint(step, seconds, stall);
  }
  void Metric(const std::string& name, double value, int64_t step) override {
    rank_->Metric(name, value, step);
  }
  void Say(const std::string& text) override { rank_->Say(text); }
  void Done(int64_t step) override { rank_->Done(step); }

 private:
  void Changed() {
    RankMembership m;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (rank_->WaitMembership(seen_, std::chrono::milliseconds(0), &m)) {
      seen_ = m.incarnation;
      gang_.reset();  // one that nobody took is out of date
      if (m.rank >= 0) Begin(m);
    }
    bell_->Ring();
  }

  void Begin(const RankMembership& m) {
    GangSpec spec;
    spec.incarnation = m.incarnation;
    spec.rank = m.rank;
    spec.world = m.world;
    spec.address = OwnAddress();
    if (m.world > 1 && !SplitEndpoint(m.endpoints[0], &spec.store_host, &spec.store_port)) {
      rank_->Broken(m.incarnation, "no endpoint of rank 0: " + m.endpoints[0]);
      return;
    }
    gang_ = std::make_shared<Gang>(spec, bell_);
  }

  std::shared_ptr<Bell> bell_;
  std::unique_ptr<RendezvousServer> server_;
  std::unique_ptr<Rank> rank_;
  std::mutex mutex_;
  int64_t seen_ = -1;
  std::shared_ptr<Gang> gang_;
};

// One membership for ever; reports go to standard error as a person would read them.
class FixedMembership : public Membership {
 public:
  FixedMembership(std::shared_ptr<Bell> bell, std::unique_ptr<RendezvousServer> server,
                  GangSpec spec)
      : bell_(std::move(bell)),
        server_(std::move(server)),
        rank_(spec.rank),
        gang_(std::make_shared<Gang>(std::move(spec), bell_)) {}

  absl::StatusOr<std::shared_ptr<Gang>> Next(int64_t than) override {
    if (gang_ == nullptr || gang_->spec().incarnation <= than) {
      return absl::UnavailableError(
          "a peer is gone and nobody says who takes its place: start the gang again, it resumes "
          "from "
          "the newest checkpoint (under `longrun run` it would have gone on)");
    }
    return std::move(gang_);
  }
  bool Superseded(int64_t) const override { return false; }
  bool stop_requested() const override { return stop_; }
  void RequestStop(const std::string& reason) override {
    stop_ = true;
    bell_->Ring();
  }

  void Joined(int64_t, int64_t step, const std::string& source, double seconds) override {
    if (rank_ != 0) return;
    if (source == "checkpoint") Print(absl::StrCat("resumed at step ", step));
  }
  void Commit(int64_t, int64_t step, double loss, int64_t tokens, double seconds) override {
    if (rank_ != 0) return;
    char line[160];
    snprintf(line, sizeof line, "step %lld  loss %.4f  %.0f tokens/s", static_cast<long long>(step),
             loss, seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0);
    Print(line);
  }
  void Waiting(int64_t) override {}
  void Broken(int64_t, const std::string& what) override { Print("the group broke: " + what); }
  void Checkpoint(int64_t step, double seconds, double stall) override {
    if (rank_ != 0) return;
    char line[160];
    snprintf(line, sizeof line,
             "checkpoint of step %lld written in %.2f s (the step waited %.1f ms)",
             static_cast<long long>(step), seconds, stall * 1e3);
    Print(line);
  }
  void Metric(const std::string& name, double value, int64_t step) override {
    if (rank_ != 0) return;
    char line[160];
    snprintf(line, sizeof line, "step %lld  %s %.4f", static_cast<long long>(step), name.c_str(),
             value);
    Print(line);
  }
  void Say(const std::string& text) override { Print(text); }
  void Done(int64_t) override {}

 private:
  static void Print(const std::string& text) { fprintf(stderr, "%s\n", text.c_str()); }

  std::shared_ptr<Bell> bell_;
  std::unique_ptr<RendezvousServer> server_;
  const int64_t rank_;
  std::shared_ptr<Gang> gang_;
  std::atomic<bool> stop_{false};
};

// `name` as a whole number in [lo, hi].
absl::StatusOr<int64_t> Number(const char* name, int64_t lo, int64_t hi) {
  const std::string text = Environment(name);
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < lo || value > hi) {
    return absl::InvalidArgumentError(absl::StrCat("environment variable ", name, ": \"", text,
                                                   "\" should be a whole number from ", lo, " to ",
                                                   hi));
  }
  return value;
}

absl::StatusOr<std::unique_ptr<Membership>> FromLauncher(std::shared_ptr<Bell> bell) {
  GangSpec spec;
  LR_ASSIGN_OR_RETURN(spec.world, Number("WORLD_SIZE", 1, 1000000));
  if (spec.world > 1) {
    LR_ASSIGN_OR_RETURN(spec.rank, Number("RANK", 0, spec.world - 1));
    LR_ASSIGN_OR_RETURN(const int64_t port, Number("MASTER_PORT", 1, 65535));
    spec.store_port = static_cast<uint16_t>(port);
    spec.store_host = Environment("MASTER_ADDR");
    if (spec.store_host.empty()) {
      return absl::InvalidArgumentError(
          "environment variable MASTER_ADDR: should name the host of rank 0");
    }
  }
  std::unique_ptr<RendezvousServer> server;
  // torchrun keeps a store of its own on that port; then this process need not, and cannot, listen.
  const bool torchrun = Environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  spec.store = torchrun ? GangSpec::Store::kTorch : GangSpec::Store::kLauncher;
  if (spec.world > 1 && spec.rank == 0 && !torchrun) {
    LR_ASSIGN_OR_RETURN(server, RendezvousServer::Listen(spec.store_port));
  }
  // torchrun restarts the gang on the same store: its count keeps the attempts' keys apart.
  int64_t restarts = 0;
  if (absl::SimpleAtoi(Environment("TORCHELASTIC_RESTART_COUNT"), &restarts)) {
    spec.incarnation = restarts;
  }
  if (spec.world > 1) spec.address = OwnAddress();
  return std::make_unique<FixedMembership>(std::move(bell), std::move(server), std::move(spec));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> MembershipFromEnvironment(std::shared_ptr<Bell> bell) {
  if (!Environment("LONGRUN_SOCKET").empty()) {
    LR_ASSIGN_OR_RETURN(auto server, RendezvousServer::Listen(0));
    return std::make_unique<LongrunMembership>(std::move(bell), std::move(server));
  }
  if (!Environment("WORLD_SIZE").empty()) return FromLauncher(std::move(bell));
  return std::make_unique<FixedMembership>(std::move(bell), nullptr, GangSpec{});
}

}  // namespace longrun::training
