// What the serving engine itself costs: a step's overhead with an executor that computes nothing
// (schedule, sample 50,257 logits for each sequence, text, deltas), and how much of a shared prefix
// is computed more than once.
//
//   serving_schedule_bench
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "base/time.h"
#include "serving/engine/engine_core.h"

namespace longrun::serving {
namespace {

constexpr int64_t kVocab = 50'257;

class NullExecutor final : public Executor {
 public:
  NullExecutor() {
    shape_.layers = 12;
    shape_.heads = shape_.kv_heads = 12;
    shape_.head_dim = 64;
    shape_.d_model = 768;
    shape_.vocab_size = kVocab;
    shape_.context = 1024;
    Random random(1);
    for (int64_t i = 0; i < 512 * kVocab; ++i) {
      logits_.push_back(static_cast<float>(random.Uniform() * 8));
    }
  }
  const ModelShape& shape() const override { return shape_; }
  absl::Status AllocateCache(int64_t, int64_t, KvType) override { return absl::OkStatus(); }
  int64_t ActivationBytes(int64_t, int64_t) const override { return 0; }
  absl::StatusOr<StepOutput> Run(const StepInput& input) override {
    int64_t rows = 0;
    for (const Slice& slice : input.slices) rows += slice.logits;
    return StepOutput{std::span(logits_).first(static_cast<size_t>(rows * kVocab)), {}};
  }

 private:
  ModelShape shape_;
  std::vector<float> logits_;
};

// A vocabulary of GPT-2's size: bytes, then invented words.
model::Tokenizer MakeTokenizer() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.push_back(std::string(1, static_cast<char>(b)));
  std::vector<model::Tokenizer::Merge> merges;
  for (int a = 0; static_cast<int64_t>(tokens.size()) < kVocab - 1; ++a) {
    merges.push_back({a / 256, a % 256, static_cast<TokenId>(tokens.size())});
    tokens.push_back(tokens[static_cast<size_t>(a / 256)] + tokens[static_cast<size_t>(a % 256)]);
  }
  tokens.push_back(std::string(model::kEndOfText));
  return *model::Tokenizer::Make(std::move(tokens), std::move(merges), {kVocab - 1});
}

EngineConfig Config() {
  EngineConfig config;
  config.blocks = 20'000;
  config.max_wait_seconds = 1e9;
  config.max_step_tokens = 512;
  return config;
}

GenerationRequest Ask(int64_t number, double temperature) {
  GenerationRequest r;
  r.id = absl::StrCat("cmpl-", number);
  r.tenant = "bench";
  r.prompt = {static_cast<TokenId>(number % 200), 1, 2, 3};
  r.max_tokens = 900;
  r.sampling.temperature = temperature;
  r.ignore_end_of_text = true;
  return r;
}

double OverheadMs(NullExecutor* executor, const model::Tokenizer& tokenizer, int64_t batch,
                  double temperature) {
  const Stopwatch watch;
  EngineCore core(Config(), executor, &tokenizer, nullptr, CacheSecret{},
                  [&watch] { return Time{1} + Duration::Seconds(watch.seconds()); });
  for (int64_t i = 0; i < batch; ++i) {
    core.Submit(*core.Prepare(Ask(i, temperature), [](const std::string&, Delta) {}));
  }
  for (int i = 0; i < 20; ++i) core.Step();
  const int steps = batch > 100 ? 50 : 200;
  const Stopwatch timed;
  for (int i = 0; i < steps; ++i) LR_CHECK(core.Step());
  return 1e3 * timed.seconds() / steps;
}

void SharedPrefix(NullExecutor* executor, const model::Tokenizer& tokenizer) {
  const Stopwatch watch;
  EngineCore core(Config(), executor, &tokenizer, nullptr, CacheSecret{},
                  [&watch] { return Time{1} + Duration::Seconds(watch.seconds()); });
  constexpr int64_t kPrefix = 400, kOwn = 20, kRequests = 50;
  for (int64_t i = 0; i < kRequests; ++i) {
    GenerationRequest r = Ask(i, 0);
    r.prompt.clear();
    for (int64_t t = 0; t < kPrefix; ++t) r.prompt.push_back(static_cast<TokenId>(t % 97));
    for (int64_t t = 0; t < kOwn; ++t) r.prompt.push_back(static_cast<TokenId>(100 + i + t));
    r.max_tokens = 8;
    core.Submit(*core.Prepare(std::move(r), [](const std::string&, Delta) {}));
  }
  while (core.Step()) {
  }
  const int64_t computed = core.Stats().prefill_tokens_computed_total;
  const int64_t once = kPrefix + kRequests * kOwn;
  printf(
      "shared prefix of %ld tokens, %ld requests at once with %ld of their own: %ld prompt tokens "
      "computed, %.1f %% above once (target: 5 %%; without sharing %ld)\n",
      static_cast<long>(kPrefix), static_cast<long>(kRequests), static_cast<long>(kOwn),
      static_cast<long>(computed),
      100.0 * (static_cast<double>(computed) / static_cast<double>(once) - 1),
      static_cast<long>(kRequests * (kPrefix + kOwn)));
}

}  // namespace
}  // namespace longrun::serving

int main() {
  using namespace longrun::serving;
  NullExecutor executor;
  const longrun::model::Tokenizer tokenizer = MakeTokenizer();
  for (const double temperature : {0.0, 1.0}) {
    for (const int64_t batch : {16, 32, 256}) {
      const double ms = OverheadMs(&executor, tokenizer, batch, temperature);
      printf("batch %3ld, temperature %.0f: %.3f ms of the engine a step, %.1f us a token\n",
             static_cast<long>(batch), temperature, ms, 1e3 * ms / static_cast<double>(batch));
    }
  }
  SharedPrefix(&executor, tokenizer);
  return 0;
}
