#include "cli/runs/story.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/time.h"
#include "base/units.h"

namespace longrun::cli {
namespace {

using api::v1::MemberView;
using api::v1::RecoveryView;
using api::v1::RunView;

// The nodes of a fleet that is just starting come within this time.
constexpr Duration kWorthALine = Duration::Seconds(1);
// A recovery that is not over by then waits for something worth telling.
constexpr double kLongRecovery = 5;

// Where the ranks sit: "node-0 (2), node-1 (2)".
std::string Places(const RunView& view) {
  std::map<std::string, int> count;
  for (const MemberView& member : view.members()) ++count[member.node()];
  return absl::StrJoin(count, ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.first, " (", entry.second, ")");
  });
}

std::string Outcome(const RecoveryView& recovery) {
  return absl::StrCat(RungInWords(recovery.rung()), " in ", Seconds(recovery.seconds()), ", ",
                      Counted(recovery.steps_lost(), "step"), " lost");
}

}  // namespace

std::string RungInWords(const std::string& rung) {
  static const std::map<std::string, std::string> kWords{
      {"start", "started"},
      {"exception", "went on"},
      {"restart-process", "a new process took its place"},
      {"swap-spare", "a spare took over"},
      {"shrink", "went on with fewer ranks"},
      {"grow", "took a rank in again"},
      {"restart-gang", "all ranks started again from the newest checkpoint"},
      {"reset-device", "the device was reset"},
      {"restart-node", "the node was started again"},
      {"repair", "sent for repair"}};
  const auto it = kWords.find(rung);
  return it == kWords.end() ? rung : it->second;
}

std::string Seconds(double seconds) {
  if (seconds < 10) return absl::StrFormat("%.2f s", seconds);
  return FormatDuration(Duration::Seconds(seconds));
}

std::string Counted(int64_t n, const std::string& noun) {
  return absl::StrCat(FormatCount(n), " ", noun, n == 1 ? "" : "s");
}

std::vector<std::string> Story::Update(const RunView& view) {
  std::vector<std::string> lines;
  TellTrouble(view, lines);
  TellPhase(view, lines);
  TellRecoveries(view, lines);
  TellSaid(view, lines);
  first_ = false;
  return lines;
}

void Story::TellTrouble(const RunView& view, std::vector<std::string>& lines) {
  if (troubled_ == !view.trouble().empty()) return;
  troubled_ = !troubled_;
  lines.push_back(troubled_
                      ? absl::StrCat("nothing is decided for now, though ranks that live go on: ",
                                     view.trouble())
                      : "the controller decides again");
}

void Story::TellPhase(const RunView& view, std::vector<std::string>& lines) {
  const bool changed = view.phase() != phase_;
  if (view.phase() == "pending" || view.phase() == "recovering") {
    // A wait is worth a line when its reason is new; a short recovery is told when it is over.
    const bool long_recovery =
        view.recoveries_size() > 0 && !view.recoveries(view.recoveries_size() - 1).over() &&
        view.recoveries(view.recoveries_size() - 1).seconds() > kLongRecovery;
    const bool waits =
        !view.reason().empty() &&
        (view.phase() == "pending" ? view.now_us() - view.submitted_us() > kWorthALine.us
                                   : long_recovery);
    if (waits && view.reason() != waited_for_) {
      waited_for_ = view.reason();
      lines.push_back(absl::StrCat("waits: ", view.reason()));
    }
  } else if (view.phase() == "starting" && !has_started_) {
    has_started_ = true;
    lines.push_back(absl::StrCat("starting ", Counted(view.ranks(), "rank"),
                                 view.spares() > 0 ? " and " + Counted(view.spares(), "spare") : "",
                                 " on ", Places(view)));
  } else if (view.phase() == "running" && !has_run_ &&
             (view.speaks_protocol() || view.now_us() - view.started_us() > kWorthALine.us)) {
    // Until a program has had the time to say that it speaks the protocol, to run means to live.
    has_run_ = true;
    lines.push_back(view.step() > 0
                        ? absl::StrCat("all ranks are at work, from step ", view.step(), " on")
                        : "all ranks are at work");
  } else if (changed && view.phase() == "stopping") {
    lines.push_back(absl::StrCat("stopping: ", view.reason()));
  }
  phase_ = view.phase();
}

void Story::TellRecoveries(const RunView& view, std::vector<std::string>& lines) {
  for (const RecoveryView& recovery : view.recoveries()) {
    // What happened before we began to look is history.
    if (first_ && recovery.over()) recoveries_[recovery.fault_us()] = true;
    const auto known = recoveries_.find(recovery.fault_us());
    if (known == recoveries_.end()) {
      lines.push_back(
          absl::StrCat(recovery.cause(), recovery.over() ? " → " + Outcome(recovery) : ""));
    } else if (!known->second && recovery.over()) {
      lines.push_back("→ " + Outcome(recovery));
    }
    recoveries_[recovery.fault_us()] = recovery.over();
  }
}

void Story::TellSaid(const RunView& view, std::vector<std::string>& lines) {
  const std::vector<std::string> said(view.said().begin(), view.said().end());
  // The view holds the newest lines: what of it is new follows the longest end of the old ones that
  // it begins with.
  size_t overlap = std::min(said_.size(), said.size());
  while (overlap > 0 &&
         !std::equal(said_.end() - static_cast<ptrdiff_t>(overlap), said_.end(), said.begin())) {
    --overlap;
  }
  for (size_t i = first_ ? said.size() : overlap; i < said.size(); ++i) {
    // The sample has its place in the summary.
    if (!absl::StartsWith(said[i], "sample: ")) lines.push_back(said[i]);
  }
  said_ = said;
}

}  // namespace longrun::cli
