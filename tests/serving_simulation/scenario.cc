#include "serving_simulation/scenario.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "serving_simulation/simulated_constraint.h"

namespace longrun::serving_simulation {
namespace {

using serving::EngineConfig;
using serving::GenerationRequest;

EngineConfig DrawEngine(Random& random) {
  EngineConfig engine;
  engine.block_tokens = random.Between(1, 8);
  engine.blocks = random.Between(80 / engine.block_tokens + 1, 240 / engine.block_tokens);
  engine.max_sequences = random.Between(1, 10);
  engine.max_step_tokens = engine.max_sequences + engine.block_tokens + random.Between(0, 60);
  engine.max_step_logits = engine.max_sequences + random.Between(1, 20);
  engine.share_prefixes = random.Chance(0.9);
  engine.max_wait_seconds = random.Chance(0.2) ? 0.5 : 1e6;
  engine.max_waiting = random.Chance(0.2) ? 6 : 1000;
  engine.goals.inter_token_seconds = random.Chance(0.5) ? 0.01 : 1;
  if (random.Chance(0.5)) {
    engine.draft.longest = random.Between(1, 6);
    engine.draft.min_ngram = 1;
    engine.draft_batch = random.Between(1, 6);
  }
  if (random.Chance(0.4)) engine.swap_bytes = 1 << random.Between(10, 20);
  return engine;
}

// Prompts begin with one of few texts, cut somewhere, and end with words of their own.
std::vector<TokenId> DrawPrompt(Random& random, int64_t longest) {
  const uint64_t text = random.Below(3);
  const int64_t length = random.Between(1, longest);
  const int64_t shared = random.Chance(0.7) ? random.Between(0, length) : 0;
  std::vector<TokenId> prompt;
  for (int64_t i = 0; i < length; ++i) {
    prompt.push_back(static_cast<TokenId>(
        i < shared ? Mix64(text * 1000 + static_cast<uint64_t>(i)) % 256 : random.Below(7)));
  }
  return prompt;
}

void DrawSampling(Random& random, GenerationRequest* r) {
  serving::SamplingConfig& s = r->sampling;
  s.temperature = random.Chance(0.5) ? 0 : random.Uniform() + 0.3;
  s.seed = random.Next();
  if (random.Chance(0.2)) s.top_k = random.Between(1, 20);
  if (random.Chance(0.2)) s.top_p = 0.5 + random.Uniform() / 2;
  if (random.Chance(0.2)) s.repetition_penalty = 1.2;
  if (random.Chance(0.2)) s.frequency_penalty = 0.5;
  if (random.Chance(0.3)) s.top_logprobs = random.Between(0, 3);
  if (random.Chance(0.2)) r->stop = {std::string(1, static_cast<char>(random.Below(7)))};
  if (random.Chance(0.1)) r->stop_tokens = {static_cast<TokenId>(random.Below(256))};
  r->ignore_end_of_text = random.Chance(0.2);
}

GenerationRequest DrawRequest(Random& random, int64_t number, const EngineConfig& engine,
                              int64_t tenants) {
  GenerationRequest r;
  r.id = absl::StrCat("request-", number);
  r.tenant = absl::StrCat("tenant-", random.Below(static_cast<uint64_t>(tenants)));
  r.priority = random.Chance(0.2) ? static_cast<int32_t>(random.Between(-1, 2)) : 0;
  r.prompt = DrawPrompt(random, random.Chance(0.1) ? 60 : 30);
  r.max_tokens = random.Between(1, 20);
  if (random.Chance(0.2)) {
    r.choices = random.Between(1, std::min<int64_t>(4, engine.max_sequences));
  }
  DrawSampling(random, &r);
  if (random.Chance(0.1)) {
    r.prompt_logprobs = true;
    if (random.Chance(0.3)) r.max_tokens = 0;
  } else if (random.Chance(0.1)) {
    r.embedding = true;
    r.choices = 1;
  }
  if (random.Chance(0.25)) {
    r.format = DrawnFormat(random.Next(), random.Between(0, 10) * 30'000);
  }
  return r;
}

}  // namespace

Scenario DrawScenario(uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.seed = seed;
  scenario.engine = DrawEngine(random);
  scenario.executor.swaps = scenario.engine.swap_bytes > 0;
  scenario.executor.swap_bytes_per_second = random.Chance(0.7) ? 1e9 : 1e3;
  if (random.Chance(0.3)) scenario.executor.failure = 0.02;
  if (random.Chance(0.3)) scenario.executor.swap_failure = 0.2;
  const int64_t tenants = random.Between(1, 4);
  const int64_t requests = random.Between(4, 30);
  const double mean_gap = random.Chance(0.3) ? 0.0001 : 0.02;
  const double cancels = random.Chance(0.5) ? 0.15 : 0;
  Time at{1'000'000};
  for (int64_t n = 0; n < requests; ++n) {
    at = at + Duration::Seconds(random.Exponential(mean_gap));
    Arrival arrival{at, DrawRequest(random, n, scenario.engine, tenants), {}, 0};
    if (random.Chance(cancels)) {
      arrival.cancelled_after = Duration::Seconds(random.Exponential(0.05)) + Duration{1};
    } else if (random.Chance(cancels / 3)) {
      arrival.cancelled_at_tokens = random.Between(1, 5);
    }
    scenario.arrivals.push_back(std::move(arrival));
  }
  return scenario;
}

Scenario DrawContest(uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.seed = seed;
  scenario.contest = true;
  scenario.engine.block_tokens = 4;
  scenario.engine.blocks = random.Between(16, 40);
  scenario.engine.max_sequences = random.Between(2, 8);
  scenario.engine.max_step_tokens = 64;
  scenario.engine.max_step_logits = 16;
  scenario.engine.max_wait_seconds = 1e9;
  const int64_t tenants = random.Between(2, 4);
  int64_t number = 0;
  for (int64_t tenant = 0; tenant < tenants; ++tenant) {
    const int64_t prompt = random.Between(1, 30), tokens = random.Between(1, 20);
    // Some 3,000 units of service each, the first tenant's all before the last's.
    const int64_t requests = 3'000 / (prompt + 2 * tokens) + 1;
    for (int64_t n = 0; n < requests; ++n, ++number) {
      GenerationRequest r;
      r.id = absl::StrCat("request-", number);
      r.tenant = absl::StrCat("tenant-", tenant);
      r.max_tokens = tokens;
      r.ignore_end_of_text = true;
      for (int64_t i = 0; i < prompt; ++i) {
        r.prompt.push_back(static_cast<TokenId>(random.Below(256)));
      }
      scenario.arrivals.push_back({Time{1'000'000 + number}, std::move(r), {}, 0});
    }
  }
  return scenario;
}

Scenario DrawSiege(uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.seed = seed;
  scenario.engine = DrawEngine(random);
  scenario.engine.max_wait_seconds = 0.05 + 0.3 * random.Uniform();
  scenario.engine.max_waiting = 1'000;
  Time at{1'000'000};
  for (int64_t n = 0; n < 250; ++n) {
    at = at + Duration::Seconds(random.Exponential(0.004));
    GenerationRequest r = DrawRequest(random, n, scenario.engine, 3);
    r.priority = n % 25 == 1 ? 0 : static_cast<int32_t>(random.Between(1, 2));
    scenario.arrivals.push_back({at, std::move(r), {}, 0});
  }
  return scenario;
}

Scenario DrawHostile(uint64_t seed) {
  Random random(seed);
  Scenario scenario;
  scenario.seed = seed;
  scenario.cheap_masks = true;
  scenario.engine = DrawEngine(random);
  scenario.engine.max_sequences = random.Between(2, 10);
  scenario.engine.max_step_tokens = 80;
  scenario.engine.max_step_logits = 32;
  scenario.engine.max_wait_seconds = 1e6;
  scenario.engine.max_waiting = 1'000;
  scenario.engine.goals.inter_token_seconds = 0.1;
  Time at{1'000'000};
  for (int64_t n = 0; n < 60; ++n) {
    at = at + Duration::Seconds(random.Exponential(0.02));
    GenerationRequest r = DrawRequest(random, n, scenario.engine, 3);
    const bool hostile = random.Chance(0.5);
    if (hostile) r.tenant = "tenant-0";
    r.format = {};
    if (hostile || random.Chance(0.5)) {
      r.format = DrawnFormat(random.Next(), r.tenant == "tenant-0" ? 2'000'000 : 3'000);
    }
    scenario.arrivals.push_back({at, std::move(r), {}, 0});
  }
  return scenario;
}

}  // namespace longrun::serving_simulation
