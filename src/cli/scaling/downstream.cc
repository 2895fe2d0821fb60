// `longrun downstream`: from a loss, or from compute by way of the loss, to a benchmark's accuracy.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "nlohmann/json.hpp"
#include "scaling/benchmarks/downstream_csv.h"

namespace longrun::cli {
namespace {

using Json = nlohmann::ordered_json;
using scaling::DownstreamCurve;
using scaling::Range;

const std::vector<double> kLevels{0.5, 0.8, 0.95};
constexpr size_t kShown = 1;  // of kLevels, in tables: 80 %
constexpr double kNormal80 = 1.2815515655446004;

struct DownstreamFlags {
  std::string file;
  scaling::DownstreamColumns columns;
  std::string form = "sigmoid";
  double chance = -1;  // < 0: fitted
  bool free_ceiling = false;
  std::vector<double> at;
  std::vector<double> at_loss;
  std::vector<std::string> where;
  bool json = false;
};

struct Prediction {
  double compute_flop = 0;  // 0: the loss was given
  double loss = 0;
  double loss_sd = 0;
  double accuracy = 0;
  std::vector<Range> intervals;
  bool outside = false;  // of the losses that the curve was fitted to
};

struct Study {
  scaling::DownstreamData data;
  std::optional<DownstreamCurve> curve;
  std::optional<scaling::DecayLaw> loss_law;
  std::vector<Prediction> predictions;
};

absl::Status ReadFlags(DownstreamFlags* flags) {
  for (const std::string& condition : flags->where) {
    const size_t equals = condition.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--where ", condition, ": COLUMN=TEXT is wanted"));
    }
    flags->columns.where.emplace_back(condition.substr(0, equals), condition.substr(equals + 1));
  }
  for (const double value : flags->at) {
    if (!(value > 0) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat("--at ", value, ": compute is above 0"));
    }
  }
  for (const double value : flags->at_loss) {
    if (!(value > 0) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat("--at-loss ", value, ": a loss is above 0"));
    }
  }
  if (!flags->at.empty() && flags->columns.compute.empty()) {
    return absl::InvalidArgumentError("--at needs --compute: which column holds the compute");
  }
  return absl::OkStatus();
}

Prediction Foretell(const Study& study, double compute, double loss, double loss_sd) {
  Prediction prediction{compute, loss, loss_sd, study.curve->At(loss), {}, true};
  for (const double level : kLevels) {
    prediction.intervals.push_back(study.curve->PredictionInterval(loss, loss_sd, level));
  }
  double low = INFINITY, high = -INFINITY;
  for (const scaling::DownstreamPoint& point : study.data.points) {
    low = std::min(low, point.loss);
    high = std::max(high, point.loss);
  }
  prediction.outside = loss < low || loss > high;
  return prediction;
}

absl::StatusOr<Study> MakeStudy(DownstreamFlags flags) {
  LR_RETURN_IF_ERROR(ReadFlags(&flags));
  std::ifstream in(flags.file, std::ios::binary);
  if (!in) return absl::InvalidArgumentError(absl::StrCat(flags.file, ": cannot be opened"));
  Study study;
  LR_ASSIGN_OR_RETURN(study.data, ReadDownstream(in, flags.file, flags.columns));
  scaling::DownstreamOptions options;
  options.form = flags.form == "sigmoid" ? scaling::DownstreamForm::kSigmoid
                                         : scaling::DownstreamForm::kExponential;
  if (flags.chance >= 0) options.floor = flags.chance;
  options.free_ceiling = flags.free_ceiling;
  LR_ASSIGN_OR_RETURN(study.curve, DownstreamCurve::Fit(study.data.points, options));
  for (const double loss : flags.at_loss) {
    study.predictions.push_back(Foretell(study, 0, loss, 0));
  }
  if (flags.at.empty()) return study;
  LR_ASSIGN_OR_RETURN(study.loss_law, scaling::DecayLaw::Fit(study.data.losses));
  for (const double compute : flags.at) {
    const double loss = study.loss_law->At(compute);
    // As the normal spread whose 80 % are as wide: few models make the law's tails heavier.
    const Range range = study.loss_law->PredictionInterval(compute, 0.8);
    study.predictions.push_back(
        Foretell(study, compute, loss, (range.hi - range.lo) / 2 / kNormal80));
  }
  return study;
}

Json LevelsJson(const std::vector<Range>& intervals) {
  Json json;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    json[absl::StrFormat("%.0f", 100 * kLevels[i])] =
        Json::array({intervals[i].lo, intervals[i].hi});
  }
  return json;
}

void PrintJson(const Study& study, const DownstreamFlags& flags) {
  Json parameters;
  for (const scaling::DownstreamParameter& parameter : study.curve->parameters()) {
    parameters[parameter.name] = {{"value", parameter.value},
                                  {"standard_error", parameter.standard_error}};
  }
  Json predictions = Json::array();
  for (const Prediction& prediction : study.predictions) {
    predictions.push_back(
        {{"compute", prediction.compute_flop > 0 ? Json(prediction.compute_flop) : Json(nullptr)},
         {"loss", prediction.loss},
         {"loss_sd", prediction.loss_sd},
         {"accuracy", prediction.accuracy},
         {"intervals", LevelsJson(prediction.intervals)},
         {"beyond_fitted_losses", prediction.outside}});
  }
  Json json{{"form", flags.form},
            {"points", study.data.points.size()},
            {"parameters", parameters},
            {"residual_sd", study.curve->residual_sd()}};
  if (study.loss_law) {
    json["loss_law"] = {{"law", "L = alpha * C^(-k)"},
                        {"alpha", study.loss_law->alpha()},
                        {"k", study.loss_law->k()},
                        {"scatter", study.loss_law->tau()}};
  }
  json["predictions"] = predictions;
  std::printf("%s\n", json.dump().c_str());
}

void PrintTable(const Study& study, const DownstreamFlags& flags) {
  std::printf("%s\n", flags.form == "sigmoid"
                          ? "accuracy = floor + (ceiling − floor) / (1 + e^(slope·(L − middle)))"
                          : "accuracy = floor + gain·e^(−rate·L)");
  for (const scaling::DownstreamParameter& parameter : study.curve->parameters()) {
    std::printf("  %-8s %10.5g", parameter.name.c_str(), parameter.value);
    if (parameter.standard_error > 0) {
      std::printf(" ± %.2g\n", parameter.standard_error);
    } else {
      std::printf("   given\n");
    }
  }
  std::printf("  %zu points, residuals %.2f points of accuracy\n", study.data.points.size(),
              100 * study.curve->residual_sd());
  if (study.loss_law) {
    std::printf("first step: L = α·C^(−k), k = %.4f, α = %.4g, scatter %.2g %%\n",
                study.loss_law->k(), study.loss_law->alpha(), 100 * study.loss_law->tau());
  }
  if (study.predictions.empty()) return;
  std::printf("\n%10s %9s %9s %10s %20s\n", "FLOP", "LOSS", "±", "ACCURACY", "80 %");
  for (const Prediction& prediction : study.predictions) {
    const Range range = prediction.intervals[kShown];
    std::printf("%10s %9.4f %9.4f %9.2f%% %9.2f to %6.2f%%%s\n",
                prediction.compute_flop > 0
                    ? absl::StrFormat("%.3g", prediction.compute_flop).c_str()
                    : "-",
                prediction.loss, prediction.loss_sd, 100 * prediction.accuracy, 100 * range.lo,
                100 * range.hi, prediction.outside ? "  beyond the losses fitted" : "");
  }
}

int Downstream(const DownstreamFlags& flags) {
  const absl::StatusOr<Study> study = MakeStudy(flags);
  if (!study.ok()) {
    PrintError(study.status());
    return ExitCodeOf(study.status());
  }
  if (flags.json) {
    PrintJson(*study, flags);
  } else {
    PrintTable(*study, flags);
  }
  return kOk;
}

}  // namespace

void DeclareDownstream(const Declare& declare) {
  const auto flags = std::make_shared<DownstreamFlags>();
  Declared& command = declare(
      "downstream", "Foretell a benchmark's accuracy from a loss, or from compute by the loss",
      "  longrun downstream models.csv --accuracy arc --chance 0.25 --compute flop --at 3.8e25\n"
      "  longrun downstream models.csv --error err --form exponential --at-loss 2.5 --json\n\n"
      "A row of the CSV is one model. Two steps, as for Llama 3: compute to loss (or to the\n"
      "negative log likelihood of the benchmark's answers) by a power law, loss to accuracy by a\n"
      "sigmoid; rows without compute count for the second step alone.");
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return Downstream(*flags); };
  CLI::App* app = command.app;
  const auto repeated = [app](const std::string& name, auto& values, const std::string& help) {
    return app->add_option(name, values, help + "; may be repeated")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  app->add_option("MODELS", flags->file, "The models (CSV)")->required()->type_name("FILE");
  app->add_option("--loss", flags->columns.loss, "Column of the loss (loss)")->type_name("COLUMN");
  CLI::Option* accuracy =
      app->add_option("--accuracy", flags->columns.accuracy, "Column of the accuracy (accuracy)");
  accuracy->type_name("COLUMN");
  app->add_option("--error", flags->columns.error, "Column of the error, in place of the accuracy")
      ->type_name("COLUMN")
      ->excludes(accuracy);
  app->add_option("--compute", flags->columns.compute, "Column of the compute, for the first step")
      ->type_name("COLUMN");
  app->add_option("--form", flags->form, "sigmoid or exponential (sigmoid)")
      ->check(CLI::IsMember({"sigmoid", "exponential"}));
  app->add_option("--chance", flags->chance, "Accuracy by chance; fitted where not given")
      ->check(CLI::Range(0.0, 1.0));
  app->add_flag("--free-ceiling", flags->free_ceiling, "Fit the sigmoid's ceiling; 1 otherwise");
  repeated("--at", flags->at, "Foretell a model of this compute")->type_name("FLOP");
  repeated("--at-loss", flags->at_loss, "Foretell a model of this loss")->type_name("LOSS");
  repeated("--where", flags->where, "Read rows alone whose COLUMN holds TEXT")
      ->type_name("COLUMN=TEXT");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
