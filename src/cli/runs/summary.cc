#include "cli/runs/summary.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/runs/story.h"

namespace longrun::cli {
namespace {

using api::v1::RunView;
using Json = nlohmann::ordered_json;

Json Finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json Loss(const RunView& view) { return view.has_loss() ? Finite(view.loss()) : Json(nullptr); }

Json MetricOf(const RunView& view, const std::string& name) {
  const auto it = view.metrics().find(name);
  return it == view.metrics().end() ? Json(nullptr) : Finite(it->second);
}

Json Recoveries(const RunView& view) {
  Json list = Json::array();
  for (const auto& recovery : view.recoveries()) {
    list.push_back({{"cause", recovery.cause()},
                    {"rung", recovery.rung()},
                    {"seconds", recovery.seconds()},
                    {"joined_seconds", recovery.joined_seconds()},
                    {"steps_lost", recovery.steps_lost()},
                    {"over", recovery.over()}});
  }
  return list;
}

// Text of the newest line that begins with `prefix`.
std::string SaidAfter(const RunView& view, const std::string& prefix) {
  for (int i = view.said_size() - 1; i >= 0; --i) {
    if (absl::StartsWith(view.said(i), prefix)) return view.said(i).substr(prefix.size());
  }
  return "";
}

std::string Percent(double part, double whole) {
  return whole <= 0 ? "0%" : absl::StrFormat("%.1f%%", 100 * part / whole);
}

std::string GoodputText(const RunView& view) {
  const auto& a = view.accounts();
  return absl::StrFormat(
      "%.1f%%  (starting and restarting %s, spares and waiting %s, done again %s)",
      100 * view.goodput(), Percent(a.restarting(), a.held()), Percent(a.waiting(), a.held()),
      Percent(a.recomputed(), a.held()));
}

void Row(std::string& out, const std::string& name, const std::string& value) {
  absl::StrAppendFormat(&out, "  %-16s %s\n", name, value);
}

// For a shell: as it is, or in single quotes.
std::string Quoted(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-_./:=+@%,", static_cast<char>(c));
  });
  return plain ? text : absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

void AddFigures(std::string& out, const RunView& view) {
  Row(out, "steps",
      view.total_steps() > 0
          ? absl::StrCat(FormatCount(view.step()), " of ", FormatCount(view.total_steps()))
          : FormatCount(view.step()));
  if (view.has_loss()) Row(out, "final loss", absl::StrFormat("%.4f", view.loss()));
  const auto validation = view.metrics().find("validation_loss");
  if (validation != view.metrics().end()) {
    Row(out, "validation loss", absl::StrFormat("%.4f", validation->second));
  }
  Row(out, "steps lost", FormatCount(view.committed_steps_lost()));
  for (const auto& recovery : view.recoveries()) {
    Row(out, recovery.over() ? "recovery" : "fault",
        absl::StrCat(recovery.cause(), recovery.over()
                                           ? absl::StrCat(" → ", RungInWords(recovery.rung()),
                                                          " in ", Seconds(recovery.seconds()))
                                           : ""));
  }
  Row(out, "goodput", GoodputText(view));
}

void AddNextSteps(std::string& out, const RunView& view, const AsTyped& typed) {
  const std::string& programs = typed.programs;
  const std::string run =
      typed.state.empty() ? view.run() : absl::StrCat(view.run(), " --state ", Quoted(typed.state));
  const std::string model = ModelFolder(view);
  absl::StrAppend(&out, "\nNext:\n");
  if (!model.empty()) {
    absl::StrAppend(&out, "  ", programs, "longrun-worker sample --model ", Quoted(model),
                    " --prompt 'Never '\n  ", programs, "longrun serve ",
                    typed.state.empty() ? view.run() : Quoted(model),
                    "  OpenAI's HTTP API, on port 8000\n");
  }
  absl::StrAppend(&out, "  ", programs, "longrun why ", run, "     each decision and its reason\n");
  absl::StrAppend(&out, "  ", programs, "longrun logs ", run, "    what the ranks printed\n");
}

}  // namespace

std::string ModelFolder(const RunView& view) {
  return std::string(absl::StripAsciiWhitespace(SaidAfter(view, "model saved to ")));
}

Json SummaryJson(const RunView& view, const std::string& run_folder, double wall_seconds) {
  const std::string model = ModelFolder(view);
  return {{"run", view.run()},
          {"phase", view.phase()},
          {"reason", view.reason()},
          {"steps", view.step()},
          {"total_steps", view.total_steps() > 0 ? Json(view.total_steps()) : Json(nullptr)},
          {"committed_steps_lost", view.committed_steps_lost()},
          {"recoveries", Recoveries(view)},
          {"goodput", view.goodput()},
          {"final_loss", Loss(view)},
          {"validation_loss", MetricOf(view, "validation_loss")},
          {"tokens", view.tokens()},
          {"model_dir", model.empty() ? Json(nullptr) : Json(model)},
          {"run_dir", run_folder},
          {"wall_seconds", wall_seconds}};
}

Json ViewJson(const RunView& view) {
  Json members = Json::array();
  for (const auto& member : view.members()) {
    members.push_back({{"member", member.member()},
                       {"rank", member.rank() < 0 ? Json(nullptr) : Json(member.rank())},
                       {"node", member.node()},
                       {"phase", member.phase()},
                       {"pid", member.pid()},
                       {"step", member.step()}});
  }
  Json metrics = Json::object();
  for (const auto& [name, value] :
       std::map<std::string, double>(view.metrics().begin(), view.metrics().end())) {
    metrics[name] = Finite(value);
  }
  const auto& a = view.accounts();
  return {{"run", view.run()},
          {"phase", view.phase()},
          {"reason", view.reason()},
          {"step", view.step()},
          {"total_steps", view.total_steps() > 0 ? Json(view.total_steps()) : Json(nullptr)},
          {"loss", Loss(view)},
          {"tokens", view.tokens()},
          {"step_seconds", view.step_seconds()},
          {"goodput", view.goodput()},
          {"accounts",
           {{"held", a.held()},
            {"productive", a.productive()},
            {"recomputed", a.recomputed()},
            {"restarting", a.restarting()},
            {"waiting", a.waiting()},
            {"degraded", a.degraded()}}},
          {"ranks", view.ranks()},
          {"spares", view.spares()},
          {"incarnation", view.incarnation()},
          {"members", members},
          {"recoveries", Recoveries(view)},
          {"committed_steps_lost", view.committed_steps_lost()},
          {"checkpoint_step",
           view.checkpoint_step() < 0 ? Json(nullptr) : Json(view.checkpoint_step())},
          {"metrics", metrics},
          {"submitted", FormatTime(Time{view.submitted_us()})},
          {"finished",
           view.finished_us() == 0 ? Json(nullptr) : Json(FormatTime(Time{view.finished_us()}))}};
}

std::string SummaryText(const RunView& view, const std::string& run_folder, double wall_seconds,
                        const AsTyped& typed) {
  std::string out = absl::StrCat("\n", view.run(), " ", view.phase(), " after ",
                                 FormatDuration(Duration::Seconds(wall_seconds)));
  if (!view.reason().empty()) absl::StrAppend(&out, ": ", view.reason());
  absl::StrAppend(&out, "\n\n");
  AddFigures(out, view);
  const std::string model = ModelFolder(view);
  Row(out, model.empty() ? "folder" : "model", model.empty() ? run_folder : model);
  const std::string sample = SaidAfter(view, "sample: ");
  if (!sample.empty()) {
    absl::StrAppend(&out, "\nA sample of what it writes:\n");
    for (const auto& line : absl::StrSplit(sample, '\n')) absl::StrAppend(&out, "  | ", line, "\n");
  }
  AddNextSteps(out, view, typed);
  return out;
}

}  // namespace longrun::cli
