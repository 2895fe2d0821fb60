#include "training/train_config.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/random.h"
#include "base/strict_yaml.h"
#include "base/units.h"

namespace longrun::training {
namespace {

constexpr int64_t kMany = 1'000'000'000'000;

void ReadModel(YamlMap map, model::GptConfig* model) {
  model->layers = map.Int("layers", model->layers, 1, 1000);
  model->heads = map.Int("heads", model->heads, 1, 1000);
  model->d_model = map.Int("d_model", model->d_model, 1, 100000);
  model->context = map.Int("context", model->context, 1, 1 << 20);
  model->dropout = map.Double("dropout", model->dropout, 0, 0.99);
  model->bias = map.Bool("bias", model->bias);
  if (model->d_model % model->heads != 0) {
    map.Error("heads", absl::StrCat(model->heads, " does not divide d_model, ", model->d_model));
  }
  map.Done();
}

void ReadData(YamlMap map, DataConfig* data) {
  data->text = map.Strings("text");
  if (data->text.empty()) map.Error("text", "should list text files, folders or patterns");
  data->tokenizer = map.String("tokenizer", "");
  if (map.Has("tokenizer") && map.Has("vocab_size")) {
    map.Error("vocab_size", "belongs to a tokenizer that is trained, not to one that is loaded");
  }
  data->vocab_size = map.Int("vocab_size", data->vocab_size, 257, 1 << 20);
  data->validation_fraction = map.Double("validation_fraction", 0.05, 0, 0.5);
  map.Done();
}

void ReadOptimizer(YamlMap map, OptimizerConfig* optimizer) {
  const std::string kind =
      map.Choice("kind", "adamw", {"sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"});
  if (const auto parsed = ParseOptimizerKind(kind); parsed.ok()) optimizer->kind = *parsed;
  optimizer->weight_decay = map.Double("weight_decay", optimizer->weight_decay, 0, 10);
  optimizer->momentum = map.Double("momentum", optimizer->momentum, 0, 1);
  optimizer->nesterov = map.Bool("nesterov", optimizer->nesterov);
  optimizer->beta1 = map.Double("beta1", optimizer->beta1, 0, 0.9999999);
  optimizer->beta2 = map.Double("beta2", optimizer->beta2, 0, 0.9999999);
  optimizer->alpha = map.Double("alpha", optimizer->alpha, 0, 0.9999999);
  optimizer->epsilon = map.Double("epsilon", optimizer->epsilon, 1e-30, 1);
  map.Done();
}

void ReadSchedule(YamlMap map, int64_t steps, ScheduleConfig* schedule) {
  schedule->lr = map.Double("lr", schedule->lr, 1e-12, 1000);
  schedule->min_lr = map.Double("min_lr", schedule->lr / 10, 0, 1000);
  schedule->decay_steps = map.Int("decay_steps", std::max<int64_t>(1, steps), 1, kMany);
  schedule->warmup_steps =
      map.Int("warmup_steps", std::min<int64_t>(100, schedule->decay_steps / 10), 0, kMany);
  if (schedule->warmup_steps > schedule->decay_steps) {
    map.Error("warmup_steps", absl::StrCat("is above decay_steps, ", schedule->decay_steps));
  }
  if (schedule->min_lr > schedule->lr) map.Error("min_lr", "is above lr");
  map.Done();
}

void ReadCheckpoint(YamlMap map, CheckpointConfig* checkpoint) {
  const YamlNode* node = map.Node("every");
  const absl::Status set = SetEvery(node == nullptr ? "auto" : node->text, checkpoint);
  if (!set.ok()) map.Error("every", std::string(set.message()));
  checkpoint->keep = map.Int("keep", checkpoint->keep, 1, 1000000);
  const Duration otherwise = Duration::Seconds(checkpoint->mean_seconds_between_failures);
  checkpoint->mean_seconds_between_failures =
      map.Time("mean_time_between_failures", otherwise).seconds();
  if (checkpoint->mean_seconds_between_failures <= 0) {
    map.Error("mean_time_between_failures", "should be above 0");
  }
  map.Done();
}

void ReadSample(YamlMap map, SampleConfig* sample) {
  sample->prompt = map.String("prompt", sample->prompt);
  sample->tokens = map.Int("tokens", sample->tokens, 0, 1000000);
  sample->temperature = map.Double("temperature", sample->temperature, 0, 100);
  sample->top_k = map.Int("top_k", sample->top_k, 0, 1 << 20);
  map.Done();
}

void ReadSteps(YamlMap* map, TrainConfig* config) {
  config->batch = map->Int("batch", config->batch, 1, 1 << 24);
  if (map->Has("steps") && map->Has("tokens")) {
    map->Error("tokens", "stands beside steps; give one of them");
  }
  config->steps = map->Int("steps", config->steps, 0, kMany);
  if (map->Has("tokens")) {
    const int64_t tokens = map->Int("tokens", 1, 1, kMany * 1000000);
    const int64_t per_step = config->batch * config->model.context;
    config->steps = (tokens + per_step - 1) / per_step;
  }
}

}  // namespace

absl::Status SetEvery(const std::string& text, CheckpointConfig* checkpoint) {
  int64_t steps = 0;
  if (text == "auto") {
    checkpoint->every = CheckpointConfig::Every::kAuto;
    return absl::OkStatus();
  }
  if (absl::SimpleAtoi(text, &steps)) {
    if (steps < 1) return absl::InvalidArgumentError("should be at least 1 step");
    checkpoint->every = CheckpointConfig::Every::kSteps;
    checkpoint->steps = steps;
    return absl::OkStatus();
  }
  const auto span = ParseDuration(text);
  if (!span.ok() || span->us <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" should be auto, a number of steps or a time such as 30s"));
  }
  checkpoint->every = CheckpointConfig::Every::kSeconds;
  checkpoint->seconds = span->seconds();
  return absl::OkStatus();
}

absl::StatusOr<TrainConfig> ParseTrainConfig(const std::string& text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, name));
  YamlErrors errors(name);
  YamlMap map(root, "", &errors);
  TrainConfig config;
  ReadModel(map.Map("model"), &config.model);
  ReadData(map.Map("data"), &config.data);
  ReadOptimizer(map.Map("optimizer"), &config.optimizer);
  ReadSteps(&map, &config);
  ReadSchedule(map.Map("schedule"), config.steps, &config.schedule);
  ReadCheckpoint(map.Map("checkpoint"), &config.checkpoint);
  ReadSample(map.Map("sample"), &config.sample);
  config.micro_batch = map.Int("micro_batch", 0, 0, 1 << 24);
  config.precision = map.Choice("precision", "f32", {"f32", "bf16"}) == "bf16"
                         ? model::Precision::kBf16
                         : model::Precision::kF32;
  config.clip = map.Double("clip", config.clip, 0, 1e9);
  config.seed = static_cast<uint64_t>(map.Int("seed", 1, 0, INT64_MAX));
  config.threads = map.Int("threads", 0, 0, 4096);
  config.bucket_mb = map.Double("bucket_mb", config.bucket_mb, 0.001, 4096);
  config.evaluate_every = map.Int("evaluate_every", config.evaluate_every, 0, kMany);
  config.evaluate_sequences = map.Int("evaluate_sequences", config.evaluate_sequences, 1, 1 << 24);
  config.output = map.String("output", config.output);
  if (config.output.empty()) map.Error("output", "should name a folder");
  map.Done();
  if (!errors.ok()) return errors.ToStatus();
  return config;
}

absl::StatusOr<TrainConfig> LoadTrainConfig(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kYamlSizeLimit));
  return ParseTrainConfig(text, path);
}

uint64_t TrainConfig::Hash() const {
  const auto& m = model;
  const auto& o = optimizer;
  const auto& s = schedule;
  // What only decides when something is written or shown, or how it is split, is left out. `steps`
  // too, so that a finished run may be taken further; the schedule names its own.
  const std::string text = absl::StrCat(
      m.layers, " ", m.heads, " ", m.d_model, " ", m.context, " ", m.vocab_size, " ", m.dropout,
      " ", m.bias, " ", m.layer_norm_epsilon, "|", OptimizerKindName(o.kind), " ", o.weight_decay,
      " ", o.momentum, " ", o.nesterov, " ", o.beta1, " ", o.beta2, " ", o.alpha, " ", o.epsilon,
      "|", s.lr, " ", s.min_lr, " ", s.warmup_steps, " ", s.decay_steps, "|", batch, " ",
      precision == model::Precision::kBf16, " ", clip, " ", seed);
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return Mix64(hash);
}

}  // namespace longrun::training
