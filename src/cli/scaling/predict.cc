// `longrun predict`: what a run that nobody has made will reach; registered, so that it can be held
// against the run.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/scaling/predictions.h"
#include "scaling/forecast/calibration.h"
#include "scaling/forecast/curve_csv.h"
#include "scaling/forecast/registration.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFitFileLimit = 256 << 20;

struct PredictFlags {
  std::string fit;
  std::string params, tokens, compute, experts;  // as typed; "" where not given
  std::string curves;
  std::string register_file;
  std::string register_run;
  std::string state;
  bool json = false;
};

absl::Status ReadSize(const std::string& flag, const std::string& text, double* value) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<double> size = ParseQuantity(text);
  if (!size.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", std::string(size.status().message())));
  }
  *value = *size;
  return absl::OkStatus();
}

absl::StatusOr<scaling::Point> Asked(const PredictFlags& flags) {
  scaling::Point point;
  LR_RETURN_IF_ERROR(ReadSize("--params", flags.params, &point.params));
  LR_RETURN_IF_ERROR(ReadSize("--tokens", flags.tokens, &point.tokens));
  LR_RETURN_IF_ERROR(ReadSize("--compute", flags.compute, &point.compute));
  LR_RETURN_IF_ERROR(ReadSize("--experts", flags.experts, &point.experts));
  if (!flags.params.empty() && !flags.tokens.empty() && !flags.compute.empty()) {
    return absl::InvalidArgumentError(
        "--params, --tokens and --compute: two of them say it all, C = 6·N·D");
  }
  if (flags.params.empty() && flags.tokens.empty() && flags.compute.empty()) {
    return absl::InvalidArgumentError(
        "which run? --params and --tokens, or --compute for the best sizes of that compute");
  }
  return point;
}

absl::StatusOr<scaling::Forecast> ForecastOf(const scaling::FitRecord& record) {
  scaling::CalibrationOptions options;
  options.objective = record.fit.objective;
  options.by_run = record.bootstrap.kind == scaling::BootstrapOptions::Kind::kClusters;
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return MakeForecast(record.fit, record.points, options);
}

absl::Status LearnCurves(const std::string& file, scaling::Registration* registration) {
  if (file.empty()) return absl::OkStatus();
  std::ifstream in(file, std::ios::binary);
  if (!in) return absl::InvalidArgumentError(absl::StrCat(file, ": cannot be opened"));
  LR_ASSIGN_OR_RETURN(const std::vector<scaling::RunCurve> runs,
                      scaling::ReadRunCurves(in, file, {}));
  LR_ASSIGN_OR_RETURN(registration->shape, LearnShape(registration->forecast, runs));
  return absl::OkStatus();
}

absl::StatusOr<scaling::Registration> MakeRegistration(const PredictFlags& flags) {
  LR_ASSIGN_OR_RETURN(const scaling::Point point, Asked(flags));
  const absl::StatusOr<std::string> text = ReadFile(flags.fit, kFitFileLimit);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  LR_ASSIGN_OR_RETURN(const scaling::FitRecord record, scaling::ReadFitFile(*text, flags.fit));
  scaling::Registration registration;
  LR_ASSIGN_OR_RETURN(registration.forecast, ForecastOf(record));
  LR_ASSIGN_OR_RETURN(registration.prediction, Predict(registration.forecast, point));
  LR_RETURN_IF_ERROR(LearnCurves(flags.curves, &registration));
  registration.source = record.source;
  registration.fit_made = record.made;
  registration.registered = FormatTime(WallClock().Now());
  return registration;
}

// Where the prediction is kept; "" where it is not. One that stands is never written over: it would
// no longer be one made before the run.
absl::StatusOr<std::string> Register(const PredictFlags& flags,
                                     const scaling::Registration& registration) {
  std::string path = flags.register_file;
  if (!flags.register_run.empty()) {
    LR_ASSIGN_OR_RETURN(path, PredictionOfRun(flags.state, flags.register_run));
    LR_RETURN_IF_ERROR(MakeFolder(std::filesystem::path(path).parent_path().string()));
  }
  if (path.empty()) return path;
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path,
                     ": a prediction stands there already and stays as it is; take another "
                     "name, or remove it yourself"));
  }
  LR_RETURN_IF_ERROR(WriteFileAtomically(path, WriteRegistration(registration)));
  return path;
}

void PrintJson(const scaling::Registration& registration, const std::string& path) {
  Json json = PredictionJson(registration);
  json["registered_in"] = path.empty() ? Json(nullptr) : Json(path);
  std::printf("%s\n", json.dump().c_str());
}

void PrintText(const scaling::Registration& registration, const std::string& path) {
  const scaling::Forecast& forecast = registration.forecast;
  const scaling::LossPrediction& prediction = registration.prediction;
  std::printf("%s, fitted to %d runs of %s\n", std::string(forecast.law->formula()).c_str(),
              forecast.points, registration.source.file.c_str());
  std::printf("%s\n\n", RunInWords(prediction.point).c_str());
  std::printf("  loss  %.4f\n", prediction.loss);
  for (size_t i = 0; i < prediction.ranges.size(); ++i) {
    std::printf("  %2.0f %%  %.4f to %.4f   (−%.2f %%, +%.2f %%)\n",
                100 * scaling::kForecastLevels[i], prediction.ranges[i].lo, prediction.ranges[i].hi,
                100 * (1 - prediction.ranges[i].lo / prediction.loss),
                100 * (prediction.ranges[i].hi / prediction.loss - 1));
  }
  const scaling::LossSpread& spread = prediction.spread;
  std::printf(
      "\n  one standard deviation: %.2f %% parameters, %.2f %% noise of a run, %.2f %% form of the "
      "law\n  the 80 %% interval is %.2f of their sum wide to each side (1.28 were they normal), "
      "by the\n  larger runs held out at %d cuts\n",
      100 * spread.parameters, 100 * spread.noise, 100 * spread.form, forecast.scores.Quantile(0.8),
      forecast.calibration_cuts);
  std::printf("  %.1f orders of magnitude %s the largest run fitted\n",
              std::abs(prediction.orders_beyond),
              prediction.orders_beyond >= 0 ? "beyond" : "below");
  if (!path.empty()) {
    std::printf("\nregistered %s in %s\n  of data %s\n", registration.registered.c_str(),
                path.c_str(), registration.source.hash.c_str());
  }
  for (const std::string& warning : prediction.warnings) {
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  }
}

int PredictCommand(const PredictFlags& flags) {
  const absl::StatusOr<scaling::Registration> registration = MakeRegistration(flags);
  if (!registration.ok()) {
    PrintError(registration.status());
    // Outside the law's domain is a refusal, not a mistake in a file.
    return absl::IsOutOfRange(registration.status()) ? kFailed : ExitCodeOf(registration.status());
  }
  const absl::StatusOr<std::string> path = Register(flags, *registration);
  if (!path.ok()) {
    PrintError(path.status());
    return ExitCodeOf(path.status());
  }
  if (flags.json) {
    PrintJson(*registration, *path);
  } else {
    PrintText(*registration, *path);
  }
  return kOk;
}

}  // namespace

void DeclarePredict(const Declare& declare) {
  const auto flags = std::make_shared<PredictFlags>();
  Declared& command = declare(
      "predict", "Foretell the loss of a run from a fit, with intervals",
      "  longrun predict fit.json --params 70B --tokens 1.4T\n"
      "  longrun predict fit.json --compute 5.76e23 --json\n"
      "  longrun predict fit.json --params 1B --tokens 20B --register before.json\n"
      "  longrun predict fit.json --params 30M --tokens 600M --register-for first-run\n\n"
      "FIT is what `longrun fit --out FIT` wrote. The intervals add the parameters' spread, a\n"
      "run's noise and the law's form, and are calibrated on the larger runs held out. Exits with "
      "1\noutside the law's domain.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return PredictCommand(*flags); };
  CLI::App* app = command.app;
  app->add_option("FIT", flags->fit, "The fit")->required()->type_name("FILE");
  app->add_option("--params", flags->params, "Parameters, like 70B")->type_name("N");
  app->add_option("--tokens", flags->tokens, "Tokens to train on, like 1.4T")->type_name("D");
  app->add_option("--compute", flags->compute, "FLOP of the training; sizes are then the best")
      ->type_name("C");
  app->add_option("--experts", flags->experts, "Experts, for the law of routed models");
  app->add_option("--curves", flags->curves,
                  "Curves of finished smaller runs (CSV: run, params, tokens, loss), so that an "
                  "unfinished run can be judged too")
      ->type_name("FILE");
  CLI::Option* file = app->add_option("--register", flags->register_file,
                                      "Keep the prediction, with the data's hash and the time, "
                                      "for longrun check");
  file->type_name("FILE");
  app->add_option("--register-for", flags->register_run,
                  "Keep it in the state folder, for longrun check RUN")
      ->type_name("RUN")
      ->excludes(file);
  app->add_option("--state", flags->state, "Folder of the controller's state")->type_name("DIR");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
