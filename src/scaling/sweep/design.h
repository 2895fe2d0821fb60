// A sweep as it is asked for and as it is laid out: a ladder of small runs whose losses a law is
// fitted to, and the large run that the law is to foretell. Plain values and pure functions; any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

// How many times the compute of the largest run of the ladder the target has at least: nearer than
// that a prediction would prove little.
inline constexpr double kLeastGap = 30;

struct SweepShape {
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t d_model = 0;
};

// How long runs train, for a shape of N parameters; what varies is one of these.
struct SweepLength {
  enum class Kind {
    kTokensPerParam,  // D = value · N: a ray
    kTokens,          // D = value: a grid
    kCompute,         // D = value / 6N: isoFLOP curves
  };
  Kind kind = Kind::kTokensPerParam;
  double value = 0;
};

// lr = value · (d_model / at_width)^exponent
struct LearningRateRule {
  double value = 0.004;
  double at_width = 32;
  double exponent = -0.5;
};

struct SweepConfig {
  std::string name;
  std::vector<std::string> text;  // as data.text of a run (docs/training.md)
  int64_t vocab_size = 512;
  double validation_fraction = 0.05;

  int64_t context = 64;
  int64_t batch = 4;  // sequences of a step
  LearningRateRule learning_rate;
  double warmup = 0.1;  // share of the steps
  double min_lr = 0.1;  // share of the learning rate that is left at the end
  double weight_decay = 0.1;
  double beta2 = 0.98;
  int64_t evaluate_sequences = 4096;

  std::vector<SweepShape> shapes;
  std::vector<SweepLength> lengths;
  int64_t repeats = 1;  // runs of each shape and length, with seeds of their own
  double budget = 0;    // FLOP of the whole ladder; 0: no limit

  SweepShape target_shape;
  SweepLength target_length;

  std::string law = "power-compute";
  double huber = 1e-3;
  int64_t seed = 1;
  int64_t parallel = 0;  // runs at once; 0: as many as there are cores over `threads`
  int64_t threads = 1;   // of a run
};

struct SweepRun {
  std::string name;  // "l2-d16-n281-s1001": fit for a run's name
  SweepShape shape;
  int64_t params = 0;  // N: all but the learned positions
  int64_t steps = 0;
  int64_t tokens = 0;  // D = steps · batch · context
  double compute = 0;  // 6·N·D
  double learning_rate = 0;
  int64_t seed = 0;

  Point ToPoint(double loss) const;
};

struct SweepDesign {
  std::vector<SweepRun> ladder;  // dearest first: they pack best so
  SweepRun target;
  std::vector<std::string> left_out;  // repeats that the budget has no room for
  double ladder_compute = 0;

  double gap() const;  // the target's compute over that of the largest run of the ladder
};

// All mistakes at once, with `name`, line and field.
absl::StatusOr<SweepConfig> ParseSweep(std::string_view text, const std::string& name);

// Parameters of a GPT-2 with a head tied to its embedding, without the learned positions, which do
// not multiply anything: layers · (12 d² + 13 d) + 2 d + vocabulary · d.
int64_t SweepParams(const SweepShape& shape, int64_t vocab_size);

// InvalidArgument, beginning with `name`: a run of less than a step or with the steps of another, a
// ladder dearer than the budget with a single run of each kind, a gap below kLeastGap.
absl::StatusOr<SweepDesign> DesignSweep(const SweepConfig& config, const std::string& name);

// The configuration of `longrun-worker train` for a run.
std::string TrainYaml(const SweepConfig& config, const SweepRun& run);
// The manifest that runs it; `name` is the run's, `config_path` where TrainYaml's text lies.
std::string ManifestYaml(const SweepConfig& config, const SweepRun& run,
                         const std::string& config_path);

}  // namespace longrun::scaling
