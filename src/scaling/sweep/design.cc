#include "scaling/sweep/design.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "scaling/laws/law.h"

namespace longrun::scaling {
namespace {

constexpr double kMostSteps = 1e9;
// Seeds of the runs of a sweep: its own times this, plus the number of the repeat.
constexpr int64_t kSeedStride = 1000;

double TokensOf(const SweepLength& length, int64_t params) {
  const auto n = static_cast<double>(params);
  switch (length.kind) {
    case SweepLength::Kind::kTokensPerParam:
      return length.value * n;
    case SweepLength::Kind::kTokens:
      return length.value;
    case SweepLength::Kind::kCompute:
      return length.value / (kFlopPerParamToken * n);
  }
  return 0;
}

absl::StatusOr<SweepRun> MakeRun(const SweepConfig& config, const SweepShape& shape,
                                 const SweepLength& length, int64_t repeat) {
  SweepRun run;
  run.shape = shape;
  run.params = SweepParams(shape, config.vocab_size);
  const double tokens = TokensOf(length, run.params);
  const auto per_step = static_cast<double>(config.batch * config.context);
  const double steps = std::round(tokens / per_step);
  const std::string what = absl::StrFormat("%d layers of width %d with %.4g tokens", shape.layers,
                                           shape.d_model, tokens);
  if (steps < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: less than half a step of %.0f tokens; lower training.batch or "
                        "training.context, or train for longer",
                        what, per_step));
  }
  if (steps > kMostSteps) {
    return absl::InvalidArgumentError(what + ": more than a billion steps");
  }
  run.steps = static_cast<int64_t>(steps);
  run.tokens = run.steps * config.batch * config.context;
  run.compute =
      kFlopPerParamToken * static_cast<double>(run.params) * static_cast<double>(run.tokens);
  const LearningRateRule& rate = config.learning_rate;
  run.learning_rate =
      rate.value * std::pow(static_cast<double>(shape.d_model) / rate.at_width, rate.exponent);
  run.seed = config.seed * kSeedStride + repeat;
  run.name = absl::StrCat("l", shape.layers, "-d", shape.d_model, "-n", run.steps, "-s", run.seed);
  return run;
}

// Leaves out the dearest of the repeats until the ladder fits the budget; the first of each stays.
absl::Status FitBudget(const SweepConfig& config, SweepDesign* design) {
  const int64_t first_seed = config.seed * kSeedStride + 1;
  auto& ladder = design->ladder;
  for (size_t i = 0; i < ladder.size() && design->ladder_compute > config.budget;) {
    if (ladder[i].seed == first_seed) {
      ++i;
      continue;
    }
    design->ladder_compute -= ladder[i].compute;
    design->left_out.push_back(ladder[i].name);
    ladder.erase(ladder.begin() + static_cast<ptrdiff_t>(i));
  }
  if (design->ladder_compute <= config.budget) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("ladder.budget: %.3g FLOP; a single run of each shape and length takes %.3g",
                      config.budget, design->ladder_compute));
}

absl::Status CheckLadder(const SweepConfig& config, const SweepDesign& design) {
  std::set<std::string> names;
  std::set<double> sizes;
  for (const SweepRun& run : design.ladder) {
    if (!names.insert(run.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "ladder: ", run.name, " is there twice: two lengths come to the same steps"));
    }
    sizes.insert(run.compute);
  }
  LR_ASSIGN_OR_RETURN(const Law* law, FindLaw(config.law));
  const size_t least = law->parameters().size() + 1;
  if (sizes.size() < least) {
    return absl::InvalidArgumentError(absl::StrCat("ladder: runs of ", sizes.size(),
                                                   " different sizes; the law ", config.law,
                                                   " needs ", least, " or more"));
  }
  if (design.gap() < kLeastGap) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "target: %.3g times the compute of the largest run of the ladder (%s); %.0f or more is "
        "right",
        design.gap(), design.ladder.front().name, kLeastGap));
  }
  return absl::OkStatus();
}

absl::StatusOr<SweepDesign> Design(const SweepConfig& config) {
  SweepDesign design;
  for (const SweepShape& shape : config.shapes) {
    for (const SweepLength& length : config.lengths) {
      for (int64_t repeat = 1; repeat <= config.repeats; ++repeat) {
        LR_ASSIGN_OR_RETURN(const SweepRun run, MakeRun(config, shape, length, repeat));
        design.ladder_compute += run.compute;
        design.ladder.push_back(run);
      }
    }
  }
  std::stable_sort(design.ladder.begin(), design.ladder.end(),
                   [](const SweepRun& a, const SweepRun& b) { return a.compute > b.compute; });
  LR_ASSIGN_OR_RETURN(design.target, MakeRun(config, config.target_shape, config.target_length, 0));
  if (config.budget > 0) LR_RETURN_IF_ERROR(FitBudget(config, &design));
  LR_RETURN_IF_ERROR(CheckLadder(config, design));
  return design;
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::CEscape(text), "\"");
}

}  // namespace

Point SweepRun::ToPoint(double loss) const {
  Point point;
  point.params = static_cast<double>(params);
  point.tokens = static_cast<double>(tokens);
  point.compute = compute;
  point.loss = loss;
  return point;
}

double SweepDesign::gap() const {
  return ladder.empty() ? 0 : target.compute / ladder.front().compute;
}

int64_t SweepParams(const SweepShape& shape, int64_t vocab_size) {
  const int64_t d = shape.d_model;
  return shape.layers * (12 * d * d + 13 * d) + 2 * d + vocab_size * d;
}

absl::StatusOr<SweepDesign> DesignSweep(const SweepConfig& config, const std::string& name) {
  absl::StatusOr<SweepDesign> design = Design(config);
  if (design.ok()) return design;
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", std::string(design.status().message())));
}

std::string TrainYaml(const SweepConfig& config, const SweepRun& run) {
  std::vector<std::string> text;
  for (const std::string& pattern : config.text) text.push_back(Quoted(pattern));
  const auto warmup = static_cast<int64_t>(config.warmup * static_cast<double>(run.steps));
  return absl::StrFormat(
      "model: {layers: %d, heads: %d, d_model: %d, context: %d}\n"
      "data: {text: [%s], vocab_size: %d, validation_fraction: %.17g}\n"
      "optimizer: {kind: adamw, weight_decay: %.17g, beta2: %.17g}\n"
      "schedule: {lr: %.17g, min_lr: %.17g, warmup_steps: %d}\n"
      "steps: %d\nbatch: %d\nseed: %d\nthreads: %d\n"
      "evaluate_every: 0\nevaluate_sequences: %d\n"
      "checkpoint: {keep: 1}\nsample: {tokens: 0}\n",
      run.shape.layers, run.shape.heads, run.shape.d_model, config.context,
      absl::StrJoin(text, ", "), config.vocab_size, config.validation_fraction, config.weight_decay,
      config.beta2, run.learning_rate, config.min_lr * run.learning_rate, warmup, run.steps,
      config.batch, run.seed, config.threads, config.evaluate_sequences);
}

std::string ManifestYaml(const SweepConfig& config, const SweepRun& run,
                         const std::string& config_path) {
  // A sweep that is killed loses at most this much of a run.
  return absl::StrCat(
      "apiVersion: longrun.dev/v1\nkind: Run\nmetadata:\n  name: ", run.name,
      "\n  labels: {sweep: ", config.name, "}\nspec:\n  ranks: 1\n  spares: 0\n",
      "  resources: {accelerators: 1}\n  command: [longrun-worker, train, --config, ",
      Quoted(config_path), "]\n  checkpoint: {every: 20s}\n");
}

}  // namespace longrun::scaling
