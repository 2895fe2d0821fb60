#include "cli/runs/drill.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/nearest.h"

namespace longrun::cli {

bool Drill::Due(const api::v1::RunView& view) const {
  if (view.over() || view.phase() != "running") return false;
  if (percent == 0) return view.step() >= step;
  return view.total_steps() > 0 && static_cast<double>(view.step()) * 100 >=
                                       percent * static_cast<double>(view.total_steps());
}

api::v1::FaultRequest Drill::RequestFor(const api::v1::RunView& view) const {
  api::v1::FaultRequest request;
  request.set_kind(kind);
  request.set_run(view.run());
  if (kind == "kill-node") {
    std::string chosen = node;
    for (const api::v1::MemberView& member : view.members()) {
      if (node.empty() && member.rank() >= 0) chosen = member.node();
    }
    request.set_node(chosen);
  } else if (kind != "kill-controller") {
    request.set_rank(rank >= 0 ? rank : view.ranks() / 2);
  }
  return request;
}

absl::StatusOr<Drill> ParseDrill(const std::string& text) {
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrCat("--drill ", text, ": ", what,
                     "; write for example kill-rank@50%, "
                     "kill-rank:2@120 (at step 120) or kill-node:node-1@30%"));
  };
  Drill drill{.text = text};
  const size_t at = text.find('@');
  if (at == std::string::npos) return bad("when is missing");
  std::string what = text.substr(0, at);
  std::string when = text.substr(at + 1);
  const size_t colon = what.find(':');
  const std::string target = colon == std::string::npos ? "" : what.substr(colon + 1);
  drill.kind = what.substr(0, colon);
  if (drill.kind == "kill-rank" || drill.kind == "hang-rank") {
    if (!target.empty() && (!absl::SimpleAtoi(target, &drill.rank) || drill.rank < 0)) {
      return bad(absl::StrCat("\"", target, "\" is no rank"));
    }
  } else if (drill.kind == "kill-node") {
    drill.node = target;
  } else if (drill.kind != "kill-controller") {
    return bad(absl::StrCat(
        "\"", drill.kind, "\" is no fault",
        DidYouMean(drill.kind, {"kill-rank", "hang-rank", "kill-node", "kill-controller"})));
  }
  if (!when.empty() && when.back() == '%') {
    when.pop_back();
    if (!absl::SimpleAtod(when, &drill.percent) || !(drill.percent > 0 && drill.percent < 100)) {
      return bad("a percentage is between 0 and 100");
    }
  } else if (!absl::SimpleAtoi(when, &drill.step) || drill.step < 0) {
    return bad(absl::StrCat("\"", when, "\" is no step"));
  }
  return drill;
}

}  // namespace longrun::cli
