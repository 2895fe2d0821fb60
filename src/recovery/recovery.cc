#include "recovery/recovery.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace longrun::recovery {
namespace {

using fleet::EventBody;
using fleet::IncarnationDecided;
using fleet::Member;
using fleet::MemberId;
using fleet::MemberPhase;
using fleet::MembersStopped;
using fleet::Phase;
using fleet::Run;
using fleet::RunFinished;
using fleet::Rung;
using fleet::RunWaits;

std::string Ranks(size_t n) { return absl::StrCat(n, n == 1 ? " rank" : " ranks"); }

std::vector<MemberId> ReadyReserve(const Run& run) {
  std::vector<MemberId> ready = fleet::Reserve(run);
  std::erase_if(ready, [&](MemberId id) { return !run.Find(id)->ready(); });
  return ready;
}

// Everything alive that was not told to end yet.
std::vector<MemberId> NotStopping(const Run& run) {
  std::vector<MemberId> members;
  for (const auto& [id, member] : run.members) {
    if (member.alive() && !member.stopping) members.push_back(id);
  }
  return members;
}

std::vector<MemberId> LivingRanks(const Run& run) {
  std::vector<MemberId> living;
  for (const MemberId id : run.gang) {
    if (run.Find(id)->alive()) living.push_back(id);
  }
  return living;
}

// Of a gang that takes no step: who keeps the others waiting. Nobody told: all.
std::vector<MemberId> Suspects(const Run& run) {
  std::vector<MemberId> suspects;
  for (const MemberId id : run.gang) {
    const Member& member = *run.Find(id);
    if (member.alive() && !member.waiting) suspects.push_back(id);
  }
  return suspects.empty() ? LivingRanks(run) : suspects;
}

bool AnyAlive(const Run& run) {
  return std::any_of(run.members.begin(), run.members.end(),
                     [](const auto& entry) { return entry.second.alive(); });
}

std::optional<std::string> Hopeless(const Run& run) {
  for (const MemberId id : run.gang) {
    const Member& member = *run.Find(id);
    if (member.alive() || member.exit_signal != 0) continue;
    const int code = member.exit_code;
    if (code != 126 && code != 127 && code != 78) continue;
    return absl::StrCat("rank ", member.rank, " on ", member.node.text, " exited with code ", code,
                        ", which trying again would not change",
                        member.exit_what.empty() ? "" : ":\n", member.exit_what);
  }
  if (run.failures_without_progress < run.spec.failures_without_progress) return std::nullopt;
  std::string why = absl::StrCat(run.failures_without_progress,
                                 " failures in a row without a step of progress; the last: ",
                                 run.recoveries.empty() ? "" : run.recoveries.back().cause);
  for (const MemberId id : run.gang) {
    const Member& member = *run.Find(id);
    if (member.alive() || member.clean_exit() || member.exit_what.empty()) continue;
    absl::StrAppend(&why, "\n", member.exit_what);
    break;
  }
  return why;
}

Duration HungAfter(const Run& run, const Config& config) {
  if (run.spec.hung_after.us != 0) return run.spec.hung_after;
  if (run.step_seconds <= 0)
    return config.hung_after * 5;  // a first step compiles, loads, warms up
  return std::max(
      config.hung_after,
      Duration::Seconds(run.step_seconds * static_cast<double>(config.hung_after_steps)));
}

bool Hung(const Run& run, const Config& config, Time listening_since, Time now) {
  if (run.phase != Phase::kRunning || !run.speaks_protocol) return false;
  Time progress = listening_since;
  for (const MemberId id : run.gang) progress = std::max(progress, run.Find(id)->progress_at);
  return now - progress > HungAfter(run, config);
}

// Started long ago and silent since, in a run that speaks the protocol: it hangs while it loads,
// before anybody pings it.
std::vector<MemberId> NeverReady(const Run& run, const Config& config, Time listening_since,
                                 Time now) {
  std::vector<MemberId> members;
  if (!run.speaks_protocol) return members;
  for (const auto& [id, member] : run.members) {
    const bool starting = member.phase == MemberPhase::kStarted && member.sound();
    const Time since = std::max(member.changed_at, listening_since);
    if (starting && now - since > config.hello_within) members.push_back(id);
  }
  return members;
}

// Every rank is there and knows of the membership, yet no group forms: one stands still, for a rank
// that waits and one that is stuck look alike. Whom to end: those that have not joined; where
// nobody has, those that did not say that the group before was broken; where that tells nothing,
// all.
std::vector<MemberId> NotForming(const Run& run, const Config& config, Time listening_since,
                                 Time now) {
  if (run.phase != Phase::kStarting && run.phase != Phase::kRecovering) return {};
  if (!run.speaks_protocol) return {};
  Time since = std::max(run.decided_at, listening_since);
  std::vector<MemberId> absent, mute;
  for (const MemberId id : run.gang) {
    const Member& member = *run.Find(id);
    if (!member.ready()) return {};
    since = std::max({since, member.changed_at, member.progress_at});
    if (member.joined == run.incarnation) continue;
    absent.push_back(id);
    if (member.has_state && member.broken + 1 < run.incarnation) mute.push_back(id);
  }
  if (now - since <= HungAfter(run, config)) return {};
  return absent.size() == run.gang.size() && !mute.empty() ? mute : absent;
}

// A rank that ended well never joined the newest incarnation, and one that lives waits for it
// there.
bool WaitsForTheEnded(const Run& run) {
  bool ended = false, waiting = false;
  for (const MemberId id : run.gang) {
    const Member& member = *run.Find(id);
    if (member.joined == run.incarnation) continue;
    ended = ended || member.clean_exit();
    waiting = waiting || member.alive();
  }
  return run.speaks_protocol && ended && waiting;
}

// The gang was to grow, but its ranks had done all their work before they heard of it; the
// newcomers have none.
bool EndedBeforeItGrew(const Run& run) {
  return run.rung == Rung::kGrow && run.speaks_protocol &&
         std::all_of(run.gang.begin(), run.gang.end(), [&](MemberId id) {
           const Member& member = *run.Find(id);
           return member.has_state ? member.clean_exit() : member.sound();
         });
}

MembersStopped StopHung(const Run& run) {
  std::vector<MemberId> suspects = Suspects(run);
  std::string reason = "no step for too long though every rank answers";
  if (suspects.size() < LivingRanks(run).size()) {
    std::vector<int> ranks;
    for (const MemberId id : suspects) ranks.push_back(run.Find(id)->rank);
    absl::StrAppend(&reason, "; the others wait for rank", ranks.size() == 1 ? " " : "s ",
                    absl::StrJoin(ranks, ", "));
  }
  return {.run = run.id, .members = std::move(suspects), .kill = true, .reason = std::move(reason)};
}

IncarnationDecided Next(const Run& run, Rung rung, std::string reason, std::vector<MemberId> gang) {
  return {.run = run.id,
          .incarnation = run.incarnation + 1,
          .rung = rung,
          .reason = std::move(reason),
          .gang = std::move(gang),
          .master_address = run.master_address,
          .master_port = run.master_port};
}

std::string CauseOf(const Run& run) {
  return run.recoveries.empty() ? "a rank was lost" : run.recoveries.back().cause;
}

void Wait(const Run& run, std::string reason, Time until, std::vector<EventBody>* out) {
  if (run.waits && run.reason == reason && run.wait_until == until) return;
  out->push_back(RunWaits{.run = run.id, .reason = std::move(reason), .until = until});
}

// Survivors hold the state: fill the lost places, go on with fewer, or wait.
void RecoverInPlace(const Run& run, const std::vector<MemberId>& lost,
                    std::vector<EventBody>* out) {
  const std::vector<MemberId> ready = ReadyReserve(run);
  if (ready.size() >= lost.size()) {
    std::vector<MemberId> gang = run.gang;
    size_t next = 0;
    bool spare = true;
    for (MemberId& id : gang) {
      if (std::find(lost.begin(), lost.end(), id) == lost.end()) continue;
      id = ready[next++];
      spare = spare && !run.recoveries.empty() &&
              run.Find(id)->placed_at <= run.recoveries.back().fault_at;
    }
    out->push_back(Next(
        run, spare ? Rung::kSwapSpare : Rung::kRestartProcess,
        absl::StrCat(CauseOf(run), "; ", Ranks(lost.size()), " replaced by ",
                     spare ? "waiting spares" : "new processes", ", state from a peer's memory"),
        std::move(gang)));
    return;
  }
  std::vector<MemberId> smaller;
  for (const MemberId id : run.gang) {
    if (std::find(lost.begin(), lost.end(), id) == lost.end()) smaller.push_back(id);
  }
  smaller.insert(smaller.end(), ready.begin(), ready.end());
  if (run.spec.elastic_min > 0 && static_cast<int>(smaller.size()) >= run.spec.elastic_min) {
    std::string reason = absl::StrCat(CauseOf(run), "; no spare is ready, so the run goes on with ",
                                      smaller.size(), " of ", Ranks(run.spec.ranks));
    out->push_back(Next(run, Rung::kShrink, std::move(reason), std::move(smaller)));
    return;
  }
  const size_t coming = fleet::Reserve(run).size() - ready.size();
  Wait(run,
       coming > 0
           ? absl::StrCat(CauseOf(run), "; ", Ranks(lost.size()),
                          " lost, the replacement is starting")
           : absl::StrCat(CauseOf(run), "; ", Ranks(lost.size()),
                          " lost and no replacement is placed yet; survivors keep the state"),
       {}, out);
}

// Nothing in memory is worth keeping, or nothing can be kept: end what is left, then wait as long
// as the failures so far ask for. Placement does the rest.
void RestartGang(const Run& run, const Config& config, Time now, std::vector<EventBody>* out) {
  std::vector<MemberId> survivors;
  bool ending = false;
  for (const MemberId id : run.gang) {
    const Member& member = *run.Find(id);
    if (member.sound()) survivors.push_back(id);
    ending = ending || member.alive();
  }
  if (!survivors.empty()) {
    out->push_back(MembersStopped{.run = run.id,
                                  .members = survivors,
                                  .kill = true,
                                  .reason = absl::StrCat(CauseOf(run),
                                                         "; the gang starts anew from its "
                                                         "newest checkpoint")});
    return;
  }
  if (ending) return;
  const Duration backoff = Backoff(config, run.failures_without_progress);
  const Time since = run.recoveries.empty() ? now : run.recoveries.back().fault_at;
  if (since + backoff > now) {
    Wait(run, absl::StrCat(CauseOf(run), "; the gang starts anew after ", FormatDuration(backoff)),
         since + backoff, out);
  }
}

// `listening_since`: when this controller began to hear of things.
void DecideFor(const Run& run, const Config& config, Time listening_since, Time now,
               std::vector<EventBody>* out) {
  if (run.cancel_requested) {
    const std::vector<MemberId> members = NotStopping(run);
    if (!members.empty()) {
      out->push_back(MembersStopped{.run = run.id, .members = members, .reason = run.reason});
    } else if (!AnyAlive(run)) {
      out->push_back(RunFinished{.run = run.id, .phase = Phase::kCancelled, .reason = run.reason});
    }
    return;
  }
  if (run.gang.empty()) return;  // placement's to start
  const auto ended = std::count_if(run.gang.begin(), run.gang.end(),
                                   [&](MemberId id) { return run.Find(id)->clean_exit(); });
  if (ended == static_cast<int64_t>(run.gang.size())) {
    out->push_back(RunFinished{.run = run.id, .phase = Phase::kSucceeded});
    return;
  }
  if (EndedBeforeItGrew(run)) {
    out->push_back(RunFinished{.run = run.id, .phase = Phase::kSucceeded});
    return;
  }
  if (const auto why = Hopeless(run)) {
    out->push_back(RunFinished{.run = run.id, .phase = Phase::kFailed, .reason = *why});
    return;
  }
  std::vector<MemberId> hung;
  for (const auto& [id, member] : run.members) {
    if (member.alive() && member.silent && !member.killing) hung.push_back(id);
  }
  if (!hung.empty()) {
    out->push_back(MembersStopped{
        .run = run.id, .members = hung, .kill = true, .reason = "it answers nothing"});
    return;  // folded first; the next round sees lost ranks
  }
  const std::vector<MemberId> mute = NeverReady(run, config, listening_since, now);
  if (!mute.empty()) {
    out->push_back(MembersStopped{.run = run.id,
                                  .members = mute,
                                  .kill = true,
                                  .reason = absl::StrCat("it started, but said nothing within ",
                                                         FormatDuration(config.hello_within))});
    return;
  }
  if (Hung(run, config, listening_since, now)) {
    out->push_back(StopHung(run));
    return;
  }
  const std::vector<MemberId> stuck = NotForming(run, config, listening_since, now);
  if (!stuck.empty()) {
    out->push_back(MembersStopped{.run = run.id,
                                  .members = stuck,
                                  .kill = true,
                                  .reason = "the ranks form no group though every one answers"});
    return;
  }
  const std::vector<MemberId> lost = fleet::LostRanks(run);
  if (lost.empty()) {
    if (WaitsForTheEnded(run)) {
      out->push_back(MembersStopped{.run = run.id,
                                    .members = LivingRanks(run),
                                    .kill = true,
                                    .reason = "a rank ended before the gang was whole again"});
      return;
    }
    if (!run.broken_at.never() && ended == 0 && now - run.broken_at >= config.broken_patience) {
      out->push_back(
          Next(run, Rung::kException,
               "a collective broke though every rank is alive; the same ranks form a new "
               "group",
               run.gang));
      return;
    }
    const std::vector<MemberId> ready = ReadyReserve(run);
    const size_t missing = static_cast<size_t>(run.spec.ranks) - run.gang.size();
    if (missing > 0 && ended == 0 && !ready.empty() && run.phase == Phase::kRunning) {
      std::vector<MemberId> gang = run.gang;
      gang.insert(gang.end(), ready.begin(), ready.begin() + std::min(missing, ready.size()));
      std::string reason = absl::StrCat("back to ", gang.size(), " of ", Ranks(run.spec.ranks));
      out->push_back(Next(run, Rung::kGrow, std::move(reason), std::move(gang)));
    }
    return;
  }
  const bool survivor = std::any_of(run.gang.begin(), run.gang.end(),
                                    [&](MemberId id) { return run.Find(id)->sound(); });
  if (run.speaks_protocol && survivor && ended == 0) {
    RecoverInPlace(run, lost, out);
  } else {
    RestartGang(run, config, now, out);
  }
}

}  // namespace

Duration Backoff(const Config& config, int failures) {
  if (failures <= 1) return {};
  Duration wait = config.backoff;
  for (int i = 2; i < failures && wait < config.longest_backoff; ++i) wait = wait * 2;
  return std::min(wait, config.longest_backoff);
}

std::vector<EventBody> Decide(const fleet::State& state, const Config& config, Time now, Random&) {
  std::vector<EventBody> out;
  for (const auto& [id, run] : state.runs) {
    if (run.live()) DecideFor(run, config, state.controller_started, now, &out);
  }
  return out;
}

}  // namespace longrun::recovery
