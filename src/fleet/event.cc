#include "fleet/event.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace longrun::fleet {

const char* RungName(Rung rung) {
  switch (rung) {
    case Rung::kStart:
      return "start";
    case Rung::kException:
      return "exception";
    case Rung::kRestartProcess:
      return "restart-process";
    case Rung::kSwapSpare:
      return "swap-spare";
    case Rung::kShrink:
      return "shrink";
    case Rung::kGrow:
      return "grow";
    case Rung::kRestartGang:
      return "restart-gang";
    case Rung::kResetDevice:
      return "reset-device";
    case Rung::kRestartNode:
      return "restart-node";
    case Rung::kRepair:
      return "repair";
  }
  return "unknown";
}

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kPending:
      return "pending";
    case Phase::kStarting:
      return "starting";
    case Phase::kRunning:
      return "running";
    case Phase::kRecovering:
      return "recovering";
    case Phase::kStopping:
      return "stopping";
    case Phase::kSucceeded:
      return "succeeded";
    case Phase::kFailed:
      return "failed";
    case Phase::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

std::string Placed(const std::vector<Placement>& placed) {
  if (placed.empty()) return "";
  return absl::StrCat("; placed: ",
                      absl::StrJoin(placed, ", ", [](std::string* out, const Placement& p) {
                        absl::StrAppend(out, "member ", p.member, " on ", p.node.text);
                      }));
}

std::string Members(const std::vector<MemberId>& members) { return absl::StrJoin(members, ", "); }

}  // namespace

const char* EventName(const EventBody& body) {
  static constexpr const char* kNames[] = {
      "NodeJoined",          "NodeLost",           "MemberStarted",
      "MemberReady",         "MemberJoined",       "MemberCommitted",
      "MemberBroken",        "MemberSilent",       "MemberExited",
      "CheckpointPublished", "MetricReported",     "MemberSaid",
      "RunSubmitted",        "CancelRequested",    "FaultInjected",
      "ControllerStarted",   "IncarnationDecided", "ReservePlaced",
      "MembersStopped",      "RunWaits",           "RunFinished",
      "MemberWaiting"};
  static_assert(std::size(kNames) == std::variant_size_v<EventBody>);
  return kNames[body.index()];
}

RunId RunOf(const EventBody& body) {
  return std::visit(
      Overloaded{[](const NodeJoined&) { return RunId(); }, [](const NodeLost&) { return RunId(); },
                 [](const ControllerStarted&) { return RunId(); },
                 [](const RunSubmitted& e) { return e.spec.name; },
                 [](const auto& e) { return e.run; }},
      body);
}

bool IsDecision(const EventBody& body) {
  return std::holds_alternative<IncarnationDecided>(body) ||
         std::holds_alternative<ReservePlaced>(body) ||
         std::holds_alternative<MembersStopped>(body) || std::holds_alternative<RunWaits>(body) ||
         std::holds_alternative<RunFinished>(body);
}

std::string Describe(const EventBody& body) {
  return std::visit(
      Overloaded{
          [](const NodeJoined& e) {
            return absl::StrCat(e.node.text, " joined with ", e.accelerators,
                                " accelerators (session ", e.session, ")");
          },
          [](const NodeLost& e) { return absl::StrCat(e.node.text, " was lost: ", e.reason); },
          [](const MemberStarted& e) {
            return absl::StrCat("member ", e.member, " started as process ", e.pid);
          },
          [](const MemberReady& e) {
            return absl::StrCat("member ", e.member, " is ready at ", e.endpoint);
          },
          [](const MemberJoined& e) {
            return absl::StrFormat(
                "member %d joined incarnation %d at step %d (state: %s) in %.3f s", e.member,
                e.incarnation, e.step, e.source, e.seconds);
          },
          [](const MemberCommitted& e) {
            return absl::StrFormat("member %d applied step %d, loss %.4f", e.member, e.step,
                                   e.loss);
          },
          [](const MemberBroken& e) {
            return absl::StrCat("member ", e.member, " met a broken collective in incarnation ",
                                e.incarnation, ": ", e.what);
          },
          [](const MemberWaiting& e) {
            return absl::StrCat("member ", e.member, " waits for its peers after step ", e.step);
          },
          [](const MemberSilent& e) {
            return absl::StrFormat("member %d has answered nothing for %.1f s", e.member,
                                   e.seconds);
          },
          [](const MemberExited& e) {
            const std::string how = e.signal != 0 ? absl::StrCat("was killed by signal ", e.signal)
                                                  : absl::StrCat("exited with code ", e.code);
            return absl::StrCat("member ", e.member, " ", how, e.what.empty() ? "" : ": ", e.what);
          },
          [](const CheckpointPublished& e) {
            return absl::StrFormat("checkpoint of step %d published after %.2f s (stall %.1f ms)",
                                   e.step, e.seconds, e.stall_seconds * 1e3);
          },
          [](const MetricReported& e) {
            return absl::StrFormat("%s = %.6g at step %d", e.name, e.value, e.step);
          },
          [](const MemberSaid& e) { return e.text; },
          [](const RunSubmitted& e) {
            return absl::StrCat("submitted: ", e.spec.ranks,
                                e.spec.ranks == 1 ? " rank, " : " ranks, ", e.spec.spares,
                                e.spec.spares == 1 ? " spare" : " spares");
          },
          [](const CancelRequested& e) { return absl::StrCat("cancel requested: ", e.reason); },
          [](const FaultInjected& e) {
            return absl::StrCat("fault put in on purpose: ", e.kind,
                                e.rank >= 0 ? absl::StrCat(" of rank ", e.rank) : "",
                                e.node.empty() ? "" : absl::StrCat(" on ", e.node.text));
          },
          [](const ControllerStarted& e) {
            return absl::StrCat("controller ", e.version, " started as process ", e.pid);
          },
          [](const IncarnationDecided& e) {
            return absl::StrCat("incarnation ", e.incarnation, " by ", RungName(e.rung), ": ",
                                e.reason, "; ranks are members ", Members(e.gang),
                                Placed(e.placed));
          },
          [](const ReservePlaced& e) { return absl::StrCat(e.reason, Placed(e.placed)); },
          [](const MembersStopped& e) {
            return absl::StrCat(e.kill ? "kill" : "stop", " members ", Members(e.members), ": ",
                                e.reason);
          },
          [](const RunWaits& e) { return absl::StrCat("waits: ", e.reason); },
          [](const RunFinished& e) {
            return absl::StrCat(PhaseName(e.phase), e.reason.empty() ? "" : ": ", e.reason);
          }},
      body);
}

}  // namespace longrun::fleet
