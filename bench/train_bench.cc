// Training throughput of one process: tokens/s of whole steps (forward, backward, clipping, AdamW)
// on random tokens, median of several runs; and the same as FLOP/s against a plain matrix
// product's.
//
//   train_bench [--layers 6] [--heads 6] [--d-model 384] [--context 256] [--batch 12] [--vocab 65]
//               [--precision bf16|f32|both] [--threads 2] [--steps 8] [--runs 5] [--json]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "base/time.h"
#include "model/gpt.h"
#include "training/clip.h"
#include "training/optimizer.h"

namespace longrun {
namespace {

using model::Gpt;
using model::GptConfig;
using model::Precision;

struct Options {
  std::map<std::string, std::string> values = {
      {"layers", "6"}, {"heads", "6"},        {"d-model", "384"}, {"context", "256"},
      {"batch", "12"}, {"vocab", "65"},       {"threads", "2"},   {"steps", "8"},
      {"runs", "5"},   {"precision", "both"}, {"device", "cpu"},  {"bias", "0"},
  };
  bool json = false;

  int64_t Int(const std::string& name) const { return std::atoll(values.at(name).c_str()); }
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Synchronise(const at::Tensor& t) {
  if (!t.device().is_cpu()) t.view({-1})[0].item<float>();
}

// FLOP/s of a [batch·context, d] · [d, 4 d] product: what the model's matrices could reach.
double MatmulCeiling(const Options& options, Precision precision, at::Device device) {
  const int64_t n = options.Int("batch") * options.Int("context"), d = options.Int("d-model");
  const auto type = precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  const auto tensor = at::TensorOptions().dtype(type).device(device);
  const at::Tensor a = at::ones({n, d}, tensor), b = at::ones({d, 4 * d}, tensor);
  at::Tensor out = at::empty({n, 4 * d}, tensor);
  std::vector<double> rates;
  for (int i = 0; i < 20; ++i) {
    const Stopwatch watch;
    for (int j = 0; j < 4; ++j) at::mm_out(out, a, b);
    Synchronise(out);
    rates.push_back(4 * 2.0 * static_cast<double>(n * d * 4 * d) / watch.seconds());
  }
  return Median(rates);
}

void Report(const Options& options, Precision precision) {
  const at::Device device(options.values.at("device"));
  GptConfig config;
  config.layers = options.Int("layers");
  config.heads = options.Int("heads");
  config.d_model = options.Int("d-model");
  config.context = options.Int("context");
  config.vocab_size = options.Int("vocab");
  config.bias = options.Int("bias") != 0;
  if (const absl::Status status = config.Validate(); !status.ok()) {
    std::fprintf(stderr, "train_bench: %s\n", std::string(status.message()).c_str());
    std::exit(2);
  }
  Gpt gpt(config, device, 1, precision);
  training::Optimizer optimizer({}, &gpt.flat());
  const int64_t batch = options.Int("batch");
  const double tokens_per_step = static_cast<double>(batch * config.context);
  const at::Tensor tokens = at::randint(config.vocab_size, {batch, config.context + 1}, at::kLong);
  double loss = 0;
  const auto step = [&] {
    loss = gpt.ForwardBackward(tokens, {.loss_scale = 1 / tokens_per_step}) / tokens_per_step;
    const double norm = training::GlobalNorm(gpt.flat().gradients());
    optimizer.Step(1e-3, training::ClipScale(norm, 1.0));
  };
  for (int i = 0; i < 2; ++i) step();
  std::vector<double> rates;
  for (int64_t run = 0; run < options.Int("runs"); ++run) {
    const Stopwatch watch;
    for (int64_t i = 0; i < options.Int("steps"); ++i) step();
    Synchronise(gpt.flat().values());
    rates.push_back(static_cast<double>(options.Int("steps")) * tokens_per_step / watch.seconds());
  }
  const double rate = Median(rates);
  const double flops = rate * config.FlopsPerToken(true);
  const double ceiling = MatmulCeiling(options, precision, device);
  const char* name = precision == Precision::kBf16 ? "bf16" : "f32";
  if (options.json) {
    std::printf(
        "{\"precision\": \"%s\", \"tokens_per_second\": %.1f, \"flops\": %.4g, "
        "\"matmul_flops\": %.4g, \"fraction\": %.3f, \"loss\": %.6f}\n",
        name, rate, flops, ceiling, flops / ceiling, loss);
  } else {
    std::printf(
        "%-4s  %8.0f tokens/s (median of %lld; %.0f to %.0f)  %6.1f GFLOP/s, %.0f %% of the "
        "%.0f of a plain matrix product; loss %.4f\n",
        name, rate, static_cast<long long>(options.Int("runs")),
        *std::min_element(rates.begin(), rates.end()),
        *std::max_element(rates.begin(), rates.end()), flops / 1e9, 100 * flops / ceiling,
        ceiling / 1e9, loss);
  }
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const std::string name = flag.starts_with("--") ? flag.substr(2) : "";
    if (name == "json") {
      options.json = true;
    } else if (options.values.contains(name) && i + 1 < argc) {
      options.values[name] = argv[++i];
    } else {
      std::fprintf(stderr, "train_bench: unknown or incomplete option %s\n", flag.c_str());
      return 2;
    }
  }
  at::set_num_threads(static_cast<int>(options.Int("threads")));
  const std::string precision = options.values.at("precision");
  if (precision != "f32") Report(options, Precision::kBf16);
  if (precision != "bf16") Report(options, Precision::kF32);
  return 0;
}

}  // namespace
}  // namespace longrun

int main(int argc, char** argv) { return longrun::Main(argc, argv); }
