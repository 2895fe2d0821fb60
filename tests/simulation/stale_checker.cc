#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/codec.h"
#include "simulation/checker.h"

namespace longrun::simulation {
namespace {

using fleet::Event;
using fleet::State;

class StaleChecker : public Checker {
 public:
  StaleChecker(const engine::World& world, Violations* violations)
      : world_(world), violations_(*violations) {}

  void Before(const State& state, const Event& event) override {
    CheckOrder(event);
    Learn(event);
    hash_.reset();
    const auto claimed = ClaimedIncarnation(event.body);
    const fleet::RunId run = fleet::RunOf(event.body);
    if (!claimed.has_value() || *claimed == incarnations_[run]) return;
    const fleet::Run* before = state.FindRun(run);
    if (before != nullptr) hash_ = HashOf(*before);
  }

  void After(const State& state, const Event& event) override {
    if (!hash_.has_value()) return;
    const fleet::RunId run = fleet::RunOf(event.body);
    if (HashOf(*state.FindRun(run)) != *hash_) {
      violations_.Add(world_.now(), absl::StrCat("a stale ", fleet::EventName(event.body),
                                                 " changed ", run.text));
    }
  }

 private:
  struct Session {
    uint64_t number = 0;
    uint64_t last_seq = 0;
    bool up = false;
  };

  // Facts of a session are folded one by one, each once; one left out was lost though acknowledged.
  void CheckOrder(const Event& event) {
    const fleet::Source& source = event.source;
    if (source.node.empty() || std::holds_alternative<fleet::NodeJoined>(event.body)) return;
    Session& session = sessions_[source.node];
    if (source.session != session.number || !session.up) {
      Fail(event, absl::StrCat("of session ", source.session, " was folded, which is over"));
    } else if (source.seq != session.last_seq + 1) {
      Fail(event, absl::StrCat("number ", source.seq, " of ", source.node.text,
                               " was folded after number ", session.last_seq));
    }
    session.last_seq = source.seq;
  }

  void Learn(const Event& event) {
    if (const auto* joined = std::get_if<fleet::NodeJoined>(&event.body)) {
      Session& session = sessions_[joined->node];
      if (joined->session > session.number) session = {joined->session, event.source.seq, true};
    } else if (const auto* lost = std::get_if<fleet::NodeLost>(&event.body)) {
      Session& session = sessions_[lost->node];
      if (lost->session == session.number) session.up = false;
    } else if (const auto* decided = std::get_if<fleet::IncarnationDecided>(&event.body)) {
      incarnations_[decided->run] = decided->incarnation;
    }
  }

  static std::optional<uint64_t> ClaimedIncarnation(const fleet::EventBody& body) {
    if (const auto* e = std::get_if<fleet::MemberJoined>(&body)) return e->incarnation;
    if (const auto* e = std::get_if<fleet::MemberCommitted>(&body)) return e->incarnation;
    if (const auto* e = std::get_if<fleet::MemberBroken>(&body)) return e->incarnation;
    return std::nullopt;
  }
  void Fail(const Event& event, const std::string& what) {
    violations_.Add(world_.now(), absl::StrCat("a ", fleet::EventName(event.body), " ", what));
  }

  const engine::World& world_;
  Violations& violations_;
  std::map<fleet::NodeId, Session> sessions_;
  std::map<fleet::RunId, uint64_t> incarnations_;
  std::optional<uint64_t> hash_;
};

}  // namespace

std::unique_ptr<Checker> MakeStaleChecker(const engine::World& world, Violations* violations) {
  return std::make_unique<StaleChecker>(world, violations);
}

}  // namespace longrun::simulation
