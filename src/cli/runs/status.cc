// `longrun status`.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/runs/story.h"
#include "cli/runs/summary.h"

namespace longrun::cli {
namespace {

using api::v1::RunView;
using Json = nlohmann::ordered_json;

std::string StepText(const RunView& view) {
  return view.total_steps() > 0
             ? absl::StrCat(FormatCount(view.step()), "/", FormatCount(view.total_steps()))
             : FormatCount(view.step());
}

std::string LossText(const RunView& view) {
  return view.has_loss() ? absl::StrFormat("%.4f", view.loss()) : "-";
}

void PrintTable(const api::v1::StatusReply& reply) {
  std::printf("%-24s %-11s %14s %9s %8s %6s %10s %6s  %s\n", "RUN", "PHASE", "STEP", "LOSS",
              "GOODPUT", "RANKS", "RECOVERIES", "LOST", "AGE");
  for (const RunView& view : reply.runs()) {
    const Duration age = Time{view.now_us()} - Time{view.submitted_us()};
    std::printf("%-24s %-11s %14s %9s %7.1f%% %6d %10d %6lld  %s\n", view.run().c_str(),
                view.phase().c_str(), StepText(view).c_str(), LossText(view).c_str(),
                100 * view.goodput(), view.ranks(), view.recoveries_size(),
                static_cast<long long>(view.committed_steps_lost()), FormatDuration(age).c_str());
  }
  if (reply.runs_size() == 0) std::printf("(no runs yet; longrun run FILE starts one)\n");
  if (reply.nodes_size() == 0) return;
  std::printf("\n%-24s %-5s %12s %5s\n", "NODE", "UP", "ACCELERATORS", "FREE");
  for (const auto& node : reply.nodes()) {
    std::printf("%-24s %-5s %12d %5d  %s\n", node.node().c_str(), node.up() ? "yes" : "no",
                node.accelerators(), node.free(), node.up() ? "" : node.reason().c_str());
  }
}

void PrintRun(const RunView& view) {
  std::printf("%s: %s%s%s\n", view.run().c_str(), view.phase().c_str(),
              view.reason().empty() ? "" : ", ", view.reason().c_str());
  std::printf("  step %s, loss %s, %s tokens, goodput %.1f%%, %s lost, incarnation %llu\n",
              StepText(view).c_str(), LossText(view).c_str(), FormatCount(view.tokens()).c_str(),
              100 * view.goodput(), Counted(view.committed_steps_lost(), "step").c_str(),
              static_cast<unsigned long long>(view.incarnation()));
  if (view.checkpoint_step() >= 0) {
    std::printf("  newest checkpoint: step %lld\n", static_cast<long long>(view.checkpoint_step()));
  }
  if (view.members_size() > 0) {
    std::printf("\n  %-6s %-6s %-20s %-9s %8s %8s\n", "RANK", "MEMBER", "NODE", "PHASE", "PID",
                "STEP");
  }
  for (const auto& member : view.members()) {
    std::printf("  %-6s %-6lld %-20s %-9s %8lld %8lld\n",
                member.rank() < 0 ? "spare" : absl::StrCat(member.rank()).c_str(),
                static_cast<long long>(member.member()), member.node().c_str(),
                member.phase().c_str(), static_cast<long long>(member.pid()),
                static_cast<long long>(member.step()));
  }
  if (view.recoveries_size() > 0) std::printf("\n  recoveries\n");
  for (const auto& recovery : view.recoveries()) {
    std::printf(
        "  %s  %s → %s\n", FormatTime(Time{recovery.fault_us()}).c_str(), recovery.cause().c_str(),
        recovery.over()
            ? absl::StrCat(RungInWords(recovery.rung()), " in ", Seconds(recovery.seconds()))
                  .c_str()
            : "under way");
  }
}

Json NodesJson(const api::v1::StatusReply& reply) {
  Json nodes = Json::array();
  for (const auto& node : reply.nodes()) {
    nodes.push_back({{"node", node.node()},
                     {"up", node.up()},
                     {"accelerators", node.accelerators()},
                     {"free", node.free()}});
  }
  return nodes;
}

}  // namespace

int Status(const CommonFlags& flags, const std::string& run) {
  const absl::StatusOr<StateFolder> state = FindStateFolder(flags.state);
  if (!state.ok()) {
    PrintError(state.status());
    return kUsage;
  }
  const absl::StatusOr<Answer> answer = AskStatus(*state, run);
  if (!answer.ok()) {
    PrintError(answer.status());
    return ExitCodeOf(answer.status());
  }
  if (flags.json) {
    Json runs = Json::array();
    for (const RunView& view : answer->reply.runs()) runs.push_back(ViewJson(view));
    const Json all{{"controller", answer->from_journal
                                      ? Json(nullptr)
                                      : Json{{"pid", answer->reply.controller_pid()},
                                             {"version", answer->reply.controller_version()}}},
                   {"trouble", answer->reply.trouble().empty() ? Json(nullptr)
                                                               : Json(answer->reply.trouble())},
                   {"runs", runs},
                   {"nodes", NodesJson(answer->reply)}};
    std::printf("%s\n", all.dump().c_str());
    return kOk;
  }
  if (answer->from_journal) {
    std::fprintf(stderr, "no controller is running; this is what the journal knows\n");
  }
  if (!answer->reply.trouble().empty()) {
    std::fprintf(stderr, "the controller decides nothing for now: %s\n",
                 answer->reply.trouble().c_str());
  }
  if (run.empty()) {
    PrintTable(answer->reply);
  } else {
    PrintRun(answer->reply.runs(0));
  }
  return kOk;
}

}  // namespace longrun::cli
