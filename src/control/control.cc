#include "control/control.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/log.h"

namespace longrun::control {
namespace {

using fleet::Event;
using fleet::EventBody;
using fleet::Member;
using fleet::MemberPhase;
using fleet::Run;

// Progress is plentiful and says nothing once a snapshot holds its sum; decisions and faults stay.
std::vector<int32_t> PrunedKinds() {
  return {static_cast<int32_t>(EventBody(fleet::MemberCommitted()).index()),
          static_cast<int32_t>(EventBody(fleet::MetricReported()).index()),
          static_cast<int32_t>(EventBody(fleet::MemberWaiting()).index())};
}

bool IsProgress(const EventBody& body) {
  return std::holds_alternative<fleet::MemberCommitted>(body) ||
         std::holds_alternative<fleet::MetricReported>(body) ||
         std::holds_alternative<fleet::MemberSaid>(body) ||
         std::holds_alternative<fleet::CheckpointPublished>(body) ||
         std::holds_alternative<fleet::MemberJoined>(body) ||
         std::holds_alternative<fleet::MemberBroken>(body) ||
         std::holds_alternative<fleet::MemberWaiting>(body);
}

// Whether the facts of a node still differ from what is wished of it.
bool Unsettled(const fleet::State& state, const fleet::Node& node) {
  return std::any_of(node.slots.begin(), node.slots.end(), [&](const fleet::Holder& holder) {
    if (holder.run.empty()) return false;
    const Run& run = state.runs.at(holder.run);
    const Member& member = run.members.at(holder.member);
    if (member.stopping || member.phase == MemberPhase::kPlaced) return true;
    return run.speaks_protocol && member.rank >= 0 && member.joined < run.incarnation;
  });
}

}  // namespace

absl::StatusOr<Event> EventOf(const RecordView& record) {
  Event event;
  if (!DecodeBinary(record.payload, event)) {
    return absl::DataLossError(absl::StrCat("record ", record.seq, " of the journal (kind ",
                                            record.kind, ") cannot be read by this version"));
  }
  return event;
}

absl::StatusOr<fleet::State> FoldJournal(Journal& journal) {
  fleet::State state;
  uint64_t from = 1;
  LR_ASSIGN_OR_RETURN(const auto snapshot, journal.NewestSnapshot());
  if (snapshot.has_value()) {
    if (!DecodeBinary(snapshot->payload, state)) {
      return absl::DataLossError(
          absl::StrCat("the journal's snapshot at record ", snapshot->seq, " cannot be read"));
    }
    from = snapshot->seq + 1;
  }
  absl::Status status;
  LR_RETURN_IF_ERROR(journal.Read(from, [&](const RecordView& record) {
    const auto event = EventOf(record);
    if (!event.ok()) {
      status = event.status();
      return false;
    }
    state.Apply(*event);
    return true;
  }));
  LR_RETURN_IF_ERROR(status);
  return state;
}

Control::Control(Journal* journal, engine::Engine* engine, Config config)
    : journal_(journal), engine_(engine), config_(config), random_(config.seed) {}

absl::Status Control::Open(Time now, const fleet::ControllerStarted& started) {
  LR_ASSIGN_OR_RETURN(state_, FoldJournal(*journal_));
  seq_ = snapshot_seq_ = journal_->last_seq();
  LR_ASSIGN_OR_RETURN(const auto snapshot, journal_->NewestSnapshot());
  if (snapshot.has_value()) snapshot_seq_ = snapshot->seq;
  Fold({.at = std::max(now, state_.now), .body = started});
  LR_RETURN_IF_ERROR(journal_->Commit());
  std::vector<fleet::Node> expected;
  for (const auto& [id, node] : state_.nodes) {
    expected.push_back(node);
    if (node.up) touched_.insert(id);
  }
  engine_->Expect(expected);
  return absl::OkStatus();
}

absl::Status Control::Check(const EventBody& request) const {
  if (const auto* submitted = std::get_if<fleet::RunSubmitted>(&request)) {
    const Run* run = state_.FindRun(submitted->spec.name);
    if (run != nullptr && run->live()) {
      return absl::AlreadyExistsError(absl::StrCat("a run named ", run->id.text, " is ",
                                                   fleet::PhaseName(run->phase),
                                                   "; choose another name or cancel it first"));
    }
    return absl::OkStatus();
  }
  if (const auto* cancel = std::get_if<fleet::CancelRequested>(&request)) {
    const Run* run = state_.FindRun(cancel->run);
    if (run == nullptr) {
      return absl::NotFoundError(absl::StrCat("there is no run named ", cancel->run.text));
    }
    if (!run->live()) {
      return absl::FailedPreconditionError(absl::StrCat(
          cancel->run.text, " is over: it ", run->phase == fleet::Phase::kCancelled ? "was " : "",
          fleet::PhaseName(run->phase)));
    }
  }
  return absl::OkStatus();
}

void Control::Fold(Event event) {
  if (!state_.Apply(event)) return;
  seq_ =
      journal_->Append(state_.now, static_cast<int32_t>(event.body.index()), EncodeBinary(event));
  MarkTouched(event);
  folded_.push_back({seq_, std::move(event)});
}

void Control::MarkTouched(const Event& event) {
  if (IsProgress(event.body)) return;
  if (!event.source.node.empty()) touched_.insert(event.source.node);
  const Run* run = state_.FindRun(fleet::RunOf(event.body));
  if (run == nullptr) return;
  for (const auto& [id, member] : run->members) {
    if (member.alive()) touched_.insert(member.node);
  }
}

void Control::Decide(Time now) {
  // Each proposal is folded before the next policy looks, so that no two give away the same slot.
  for (int round = 0; round < 100; ++round) {
    bool quiet = true;
    for (EventBody& body : recovery::Decide(state_, config_.recovery, now, random_)) {
      Fold({.at = now, .body = std::move(body)});
      quiet = false;
    }
    for (EventBody& body : placement::Decide(state_, config_.placement, now, random_)) {
      Fold({.at = now, .body = std::move(body)});
      quiet = false;
    }
    if (quiet) return;
  }
  LR_CHECK(false);  // the policies contradict each other: each round undoes the one before
}

absl::Status Control::Turn(Time now, std::vector<Event> facts, std::vector<EventBody> requests) {
  now = std::max(now, state_.now);
  for (Event& fact : facts) {
    fact.at = now;
    if (!fact.source.node.empty()) {
      auto& [session, seq] = acknowledge_[fact.source.node];
      if (std::pair(fact.source.session, fact.source.seq) > std::pair(session, seq)) {
        std::tie(session, seq) = std::pair(fact.source.session, fact.source.seq);
      }
    }
    Fold(std::move(fact));
  }
  for (EventBody& request : requests) Fold({.at = now, .body = std::move(request)});
  Decide(now);
  if (journal_->pending() > 0) LR_RETURN_IF_ERROR(journal_->Commit());
  for (const auto& [node, upto] : acknowledge_) {
    engine_->Acknowledge(node, upto.first, upto.second);
  }
  acknowledge_.clear();
  SendWishes(now);
  return MaybeSnapshot();
}

void Control::SendWishes(Time now) {
  for (const fleet::NodeId& id : touched_) {
    const fleet::Node* node = state_.FindNode(id);
    if (node != nullptr && node->up) SendWish(*node, now, false);
  }
  touched_.clear();
  for (const auto& [id, node] : state_.nodes) {
    if (!node.up || now - wishes_[id].sent < config_.repeat_wishes_after) continue;
    if (Unsettled(state_, node)) SendWish(node, now, true);
  }
}

void Control::SendWish(const fleet::Node& node, Time now, bool repeat) {
  fleet::NodeDesired desired = fleet::DesiredOf(state_, node, 0);
  const uint64_t hash = HashOf(desired);
  Wish& wish = wishes_[node.id];
  if (!repeat && wish.session == node.session && wish.hash == hash) return;
  wish = {.session = node.session, .hash = hash, .sent = now};
  desired.revision = seq_;
  engine_->Apply(desired);
}

absl::Status Control::MaybeSnapshot() {
  if (seq_ - snapshot_seq_ < config_.snapshot_every_events) return absl::OkStatus();
  LR_RETURN_IF_ERROR(journal_->WriteSnapshot(seq_, EncodeBinary(state_)));
  snapshot_seq_ = seq_;
  return journal_->Prune(PrunedKinds(), seq_).status();
}

}  // namespace longrun::control
