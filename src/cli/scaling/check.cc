// `longrun check`: a registered prediction against the run, finished or under way.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/scaling/predictions.h"
#include "cli/scaling/run_curve.h"
#include "scaling/forecast/curve_csv.h"
#include "scaling/forecast/registration.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::CurveCheck;
using scaling::Verdict;

constexpr int64_t kFileLimit = 256 << 20;
// Fractions of the plan at which the way so far is shown.
constexpr double kStations[] = {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};

struct CheckFlags {
  std::string subject;  // a prediction's file, or a run
  std::string curve;
  double reached = 0;  // 0: not given
  scaling::CurveColumns columns;
  std::string against;
  std::string metric;
  std::string state;
  bool json = false;
};

struct Checked {
  scaling::Registration registration;
  std::vector<CurveCheck> stations;  // the last is where the run stands
};

absl::StatusOr<scaling::Curve> CurveOfRun(const CheckFlags& flags) {
  LR_ASSIGN_OR_RETURN(const StateFolder state, FindStateFolder(flags.state));
  std::string warning;
  LR_ASSIGN_OR_RETURN(const std::vector<JournalEvent> events, ReadEvents(state, &warning));
  if (!warning.empty()) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  RunCurveReader reader(flags.subject, flags.metric);
  for (const JournalEvent& event : events) reader.Take(event.event);
  if (!reader.seen()) {
    return absl::NotFoundError(absl::StrCat("there is neither a file nor a run named ",
                                            flags.subject, "; longrun status lists the runs"));
  }
  return reader.curve();
}

absl::StatusOr<scaling::Curve> CurveOf(const CheckFlags& flags, bool is_file,
                                       const scaling::Registration& registration) {
  if (flags.reached > 0) {
    const double tokens = registration.prediction.point.tokens;
    return scaling::Curve{{std::isnan(tokens) ? 1 : tokens, flags.reached}};
  }
  if (!is_file) return CurveOfRun(flags);
  if (flags.curve.empty()) {
    return absl::InvalidArgumentError(
        "what did the run reach? Give its curve (CSV: tokens, loss), or --reached LOSS");
  }
  std::ifstream in(flags.curve, std::ios::binary);
  if (!in) return absl::InvalidArgumentError(absl::StrCat(flags.curve, ": cannot be opened"));
  return scaling::ReadCurve(in, flags.curve, flags.columns);
}

absl::StatusOr<scaling::Registration> Registered(const CheckFlags& flags, bool is_file) {
  std::string path = is_file ? flags.subject : flags.against;
  if (path.empty()) {
    LR_ASSIGN_OR_RETURN(path, PredictionOfRun(flags.state, flags.subject));
  }
  const absl::StatusOr<std::string> text = ReadFile(path, kFileLimit);
  if (!text.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(text.status().message()),
        is_file ? "" : "; longrun predict FIT --register-for RUN registers a prediction"));
  }
  return scaling::ReadRegistration(*text, path);
}

absl::StatusOr<Checked> MakeCheck(const CheckFlags& flags) {
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(flags.subject, error);
  Checked checked;
  LR_ASSIGN_OR_RETURN(checked.registration, Registered(flags, is_file));
  LR_ASSIGN_OR_RETURN(const scaling::Curve curve, CurveOf(flags, is_file, checked.registration));
  const scaling::Registration& registration = checked.registration;
  const scaling::Point& target = registration.prediction.point;
  const auto check = [&](const scaling::Curve& part) {
    return CheckCurve(registration.forecast, target, registration.shape, part);
  };
  LR_ASSIGN_OR_RETURN(const CurveCheck now, check(curve));
  const double tokens = std::isnan(target.tokens) ? 1 : target.tokens;
  for (const double fraction : kStations) {
    const scaling::Curve part = UpTo(curve, fraction * tokens);
    if (part.empty() || fraction > 0.98 * now.fraction) continue;
    if (part.back().tokens < 0.9 * fraction * tokens) continue;
    LR_ASSIGN_OR_RETURN(const CurveCheck station, check(part));
    checked.stations.push_back(station);
  }
  checked.stations.push_back(now);
  return checked;
}

Json CheckJson(const CurveCheck& check) {
  return {{"tokens", check.tokens},
          {"fraction", check.fraction},
          {"loss", check.loss},
          {"expected", check.expected},
          {"intervals",
           {{"80", Json::array({check.range80.lo, check.range80.hi})},
            {"95", Json::array({check.range95.lo, check.range95.hi})}}},
          {"probability", check.probability},
          {"verdict", VerdictInWords(check.verdict)}};
}

void PrintJson(const Checked& checked) {
  Json json = CheckJson(checked.stations.back());
  json["prediction"] = PredictionJson(checked.registration);
  json["knows_unfinished_runs"] = checked.registration.shape.has_value();
  for (const CurveCheck& station : checked.stations) json["way"].push_back(CheckJson(station));
  std::printf("%s\n", json.dump().c_str());
}

std::string Conclusion(const CurveCheck& now) {
  const std::string off = absl::StrFormat("%+.2f %%", 100 * (now.loss / now.expected - 1));
  switch (now.verdict) {
    case Verdict::kOnTheLine:
      return absl::StrFormat(
          "on the line: %s off it, and as far or further with probability %.0f %%", off,
          100 * now.probability);
    case Verdict::kAbove:
      return absl::StrFormat(
          "above the line by %s; as far or further with probability %.1f %% were all well", off,
          100 * now.probability);
    case Verdict::kBelow:
      return absl::StrFormat(
          "below the line by %s; as far or further with probability %.1f %%: better than foretold, "
          "or another data set, or loss",
          off, 100 * now.probability);
    case Verdict::kCannotTell:
      break;
  }
  return "cannot tell yet: how unfinished runs lie above the law is not known; register with "
         "--curves, or wait for the end";
}

void PrintText(const Checked& checked) {
  const scaling::Registration& registration = checked.registration;
  const scaling::LossPrediction& prediction = registration.prediction;
  std::printf("registered %s: %.4f (80 %%: %.4f to %.4f) for %s\n", registration.registered.c_str(),
              prediction.loss, prediction.ranges[1].lo, prediction.ranges[1].hi,
              RunInWords(prediction.point).c_str());
  std::printf("  from %s, %s\n\n", registration.source.file.c_str(),
              registration.source.hash.c_str());
  std::printf("%10s %6s %9s %9s %21s %8s\n", "TOKENS", "DONE", "LOSS", "EXPECTED", "80 %", "P");
  // A law of the compute alone: of the way, shares are known.
  const bool shares = std::isnan(prediction.point.tokens);
  for (const CurveCheck& check : checked.stations) {
    std::printf("%10s %5.0f%% %9.4f %9.4f %10.4f to %.4f %7.1f%%  %s\n",
                shares ? "-" : FormatQuantity(check.tokens).c_str(), 100 * check.fraction,
                check.loss, check.expected, check.range80.lo, check.range80.hi,
                100 * check.probability, VerdictInWords(check.verdict).c_str());
  }
  std::printf("\n%s\n", Conclusion(checked.stations.back()).c_str());
}

int CheckCommand(const CheckFlags& flags) {
  const absl::StatusOr<Checked> checked = MakeCheck(flags);
  if (!checked.ok()) {
    PrintError(checked.status());
    return ExitCodeOf(checked.status());
  }
  if (flags.json) {
    PrintJson(*checked);
  } else {
    PrintText(*checked);
  }
  return checked->stations.back().verdict == Verdict::kAbove ? kFailed : kOk;
}

}  // namespace

void DeclareCheck(const Declare& declare) {
  const auto flags = std::make_shared<CheckFlags>();
  Declared& command = declare(
      "check", "Hold a registered prediction against the run, finished or under way",
      "  longrun check before.json curve.csv\n"
      "  longrun check before.json --reached 2.31\n"
      "  longrun check first-run                        a run of Longrun's, at its present step\n"
      "  longrun check first-run --against before.json --metric validation_loss --json\n\n"
      "The loss is the mean over the last twentieth of the tokens so far. Off the line is outside\n"
      "the 80 % interval; P is the probability of lying so far off or further. Exits with 1 where\n"
      "the run lies above the line.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return CheckCommand(*flags); };
  CLI::App* app = command.app;
  app->add_option("SUBJECT", flags->subject, "The prediction (FILE), or a run (RUN)")
      ->required()
      ->type_name("FILE|RUN");
  app->add_option("CURVE", flags->curve, "The run's losses (CSV)")->type_name("FILE");
  app->add_option("--reached", flags->reached, "The final loss, in place of a curve")
      ->check(CLI::PositiveNumber)
      ->type_name("LOSS");
  app->add_option("--tokens", flags->columns.tokens, "Column of the tokens so far (tokens)")
      ->type_name("COLUMN");
  app->add_option("--loss", flags->columns.loss, "Column of the loss (loss)")->type_name("COLUMN");
  app->add_option("--tokens-per-step", flags->columns.tokens_per_step,
                  "--tokens is then the column of the step")
      ->check(CLI::PositiveNumber);
  app->add_option("--against", flags->against, "The prediction of a run, where it is in a file")
      ->type_name("FILE");
  app->add_option("--metric", flags->metric,
                  "Of a run: this figure that its program reports, in place of the training loss")
      ->type_name("NAME");
  app->add_option("--state", flags->state, "Folder of the controller's state")->type_name("DIR");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
