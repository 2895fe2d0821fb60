#include "serving_simulation/checkers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longrun::serving_simulation {

using serving::BlockId;
using serving::Delta;
using serving::FinishReason;
using serving::Logprobs;

// What tenants are promised (serving/schedule/fair_queue.h).
constexpr double kPromptWeight = 1, kOutputWeight = 2;

void CheckBlocks(const serving::EngineCore& core, Violations* violations) {
  const serving::BlockPool& pool = core.pool();
  std::vector<int64_t> uses(static_cast<size_t>(pool.total()));
  std::vector<std::string> owner(uses.size());
  std::vector<int32_t> tenant_number(uses.size(), -1);
  core.ForEachTable([&](const serving::Progress& request, const serving::BlockTable& table) {
    const std::string& tenant = request.request().tenant;
    for (const BlockId block : table.blocks) {
      const size_t b = static_cast<size_t>(block);
      if (uses[b]++ > 0 && owner[b] != tenant) {
        violations->push_back(
            absl::StrCat("block ", block, " is shared by ", owner[b], " and ", tenant));
      }
      owner[b] = tenant;
      tenant_number[b] = table.tenant;
    }
  });
  int64_t free = 0, used = 0, cached = 0;
  for (BlockId b = 0; b < pool.total(); ++b) {
    const size_t i = static_cast<size_t>(b);
    if (pool.refs(b) != uses[i]) {
      violations->push_back(absl::StrCat("block ", b, " has ", pool.refs(b), " references, but ",
                                         uses[i], " tables hold it"));
    }
    if (uses[i] > 0 && pool.published(b) && pool.tenant(b) != tenant_number[i]) {
      violations->push_back(absl::StrCat("block ", b, " is another tenant's"));
    }
    ++(uses[i] > 0 ? used : pool.published(b) ? cached : free);
  }
  if (free != pool.free() || used != pool.used() || cached != pool.cached()) {
    violations->push_back(absl::StrCat("accounts: free ", pool.free(), " used ", pool.used(),
                                       " cached ", pool.cached(), ", but ", free, ", ", used, ", ",
                                       cached));
  }
}

void CheckMasks(const serving::EngineCore& core, const Scenario& scenario, int64_t effort,
                Violations* violations) {
  constexpr int64_t kDraftEffort = 50'000;
  const int64_t drafts = scenario.engine.draft.longest > 0 ? scenario.engine.draft_batch : 0;
  if (effort > scenario.engine.MaskEffort() + drafts * kDraftEffort) {
    violations->push_back(absl::StrCat("the masks of a step took an effort of ", effort));
  }
  if (!scenario.cheap_masks) return;
  core.ForEachTable([&](const serving::Progress& request, const serving::BlockTable& table) {
    if (request.request().tenant == "tenant-0" || table.blocks.empty()) return;
    for (const auto& sequence : request.sequences) {
      if (sequence->mask_wanted != 0 && !sequence->table.blocks.empty()) {
        violations->push_back(absl::StrCat(request.request().id, " waits for a cheap mask"));
      }
    }
  });
}

namespace {

bool Same(const Logprobs& a, const Logprobs& b) {
  const auto same = [](const serving::TokenLogprob& x, const serving::TokenLogprob& y) {
    return x.token == y.token && x.logprob == y.logprob;
  };
  return same(a.chosen, b.chosen) &&
         std::equal(a.top.begin(), a.top.end(), b.top.begin(), b.top.end(), same);
}

template <class T, class Equal>
bool Begins(const std::vector<T>& part, const std::vector<T>& whole, Equal equal) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin(), equal);
}

}  // namespace

void DeltaChecker::Violate(const Given& given, const std::string& what) {
  violations_.push_back(absl::StrCat(given.request.id, ": ", what));
}

void DeltaChecker::Asked(const serving::GenerationRequest& request) {
  Given given;
  given.request = request;
  given.alone = RunAlone(request, tokenizer_);
  given.so_far.choices.resize(given.alone.choices.size());
  given_.emplace(request.id, std::move(given));
}

void DeltaChecker::Take(const std::string& id, const Delta& delta) {
  Given& given = given_.at(id);
  if (given.last) Violate(given, "a delta after the last");
  if (delta.choice < 0 || delta.choice >= given.request.choices) {
    Violate(given, "a delta of a choice that is none");
    return;
  }
  ChoiceResult& choice = given.so_far.choices[static_cast<size_t>(delta.choice)];
  if (choice.finish != FinishReason::kNone) Violate(given, "a delta after the choice's end");
  choice.tokens.insert(choice.tokens.end(), delta.tokens.begin(), delta.tokens.end());
  choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
  choice.text += delta.text;
  choice.finish = delta.finish;
  given.tokens += static_cast<int64_t>(delta.tokens.size());
  if (!delta.prompt_logprobs.empty()) given.so_far.prompt_logprobs = delta.prompt_logprobs;
  if (!delta.embedding.empty()) given.so_far.embedding = delta.embedding;
  if (delta.finish != FinishReason::kNone) ++given.finished;
  CheckChoice(given, delta);
  if (delta.last != (given.finished == given.request.choices)) {
    Violate(given, "the last delta is not the last choice's end");
  }
  given.last = delta.last;
  if (delta.last) {
    if (delta.usage.completion_tokens != given.tokens ||
        delta.usage.prompt_tokens != static_cast<int64_t>(given.request.prompt.size()) ||
        delta.usage.cached_tokens >= delta.usage.prompt_tokens) {
      Violate(given, "the usage is wrong");
    }
    Mix(static_cast<uint64_t>(delta.usage.cached_tokens));
  }
  for (const char c : absl::StrCat(id, delta.choice, delta.text)) Mix(static_cast<uint8_t>(c));
  for (const TokenId token : delta.tokens) Mix(static_cast<uint64_t>(token) + 1'000);
  Mix(static_cast<uint64_t>(delta.finish) + 10'000);
}

void DeltaChecker::CheckChoice(const Given& given, const Delta& delta) {
  const ChoiceResult& got = given.so_far.choices[static_cast<size_t>(delta.choice)];
  const ChoiceResult& alone = given.alone.choices[static_cast<size_t>(delta.choice)];
  if (!Begins(got.tokens, alone.tokens, std::equal_to<>())) Violate(given, "other tokens");
  if (!Begins(got.logprobs, alone.logprobs, Same)) Violate(given, "other logprobs");
  if (!alone.text.starts_with(got.text)) Violate(given, "another text");
  if (delta.finish != FinishReason::kStop && delta.finish != FinishReason::kLength) return;
  if (delta.finish != alone.finish) Violate(given, "another end");
  if (got.tokens != alone.tokens || got.text != alone.text) Violate(given, "not all of it");
  if (got.logprobs.size() != alone.logprobs.size()) Violate(given, "not all logprobs");
  if (delta.choice != 0) return;
  const std::vector<Logprobs>& echoed = given.so_far.prompt_logprobs;
  if (echoed.size() != given.alone.prompt_logprobs.size() ||
      !Begins(echoed, given.alone.prompt_logprobs, Same)) {
    Violate(given, "other logprobs of the prompt");
  }
  if (given.so_far.embedding != given.alone.embedding) Violate(given, "another embedding");
}

void DeltaChecker::CheckAllEnded() {
  for (const auto& [id, given] : given_) {
    if (!given.last) Violate(given, "never ended");
  }
}

void PatienceChecker::Asked(const serving::GenerationRequest& request, Time at) {
  number_of_[request.id] = next_;
  waiting_[next_++] = {.tenant = request.tenant, .priority = request.priority, .since = at};
}

void PatienceChecker::Leave(const std::string& id, bool admitted) {
  const auto found = waiting_.find(number_of_.at(id));
  if (found == waiting_.end()) return;
  if (admitted) admitted_.push_back(found->second);
  waiting_.erase(found);
}

bool PatienceChecker::IsOldest(int64_t number) const {
  const Waiting& own = waiting_.at(number);
  return std::none_of(waiting_.begin(), waiting_.find(number), [&own](const auto& other) {
    return other.second.tenant == own.tenant && other.second.priority == own.priority;
  });
}

void PatienceChecker::AfterStep(const serving::EngineCore& core, Time begin) {
  core.ForEachTable([this](const serving::Progress& progress, const serving::BlockTable& table) {
    if (!table.blocks.empty()) Took(progress.request().id);
  });
  const auto impatient = [&](const Waiting& w) {
    return (begin - w.since).seconds() >= patience_seconds_;
  };
  for (auto& [number, waiting] : waiting_) {
    if (!impatient(waiting) || !IsOldest(number)) continue;
    patient_ += !std::exchange(waiting.patient, true);
    for (const Waiting& other : admitted_) {
      if (other.priority > waiting.priority && !impatient(other)) ++waiting.passes;
    }
    most_passes_ = std::max(most_passes_, waiting.passes);
    if (waiting.passes > kMostPasses) {
      violations_.push_back(absl::StrCat("a request of ", waiting.tenant, " with priority ",
                                         waiting.priority, " was passed over ", waiting.passes,
                                         " times after its patience ended"));
    }
  }
  admitted_.clear();
}

FairnessChecker::FairnessChecker(const Scenario& scenario, Violations* violations)
    : violations_(*violations) {
  double prompt = 0, output = 0;
  for (const Arrival& arrival : scenario.arrivals) {
    requests_.emplace(arrival.request.id, &arrival.request);
    tenant_of_[arrival.request.id] = arrival.request.tenant;
    ++waiting_[arrival.request.tenant];
    prompt = std::max(prompt, static_cast<double>(arrival.request.prompt.size()));
    output = std::max(output, static_cast<double>(arrival.request.max_tokens));
  }
  bound_ = kPromptWeight * prompt +
           kOutputWeight * output * static_cast<double>(scenario.engine.max_sequences);
}

void FairnessChecker::Admitted(const std::string& id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  service_[found->second->tenant] +=
      kPromptWeight * static_cast<double>(found->second->prompt.size());
  --waiting_[found->second->tenant];
  requests_.erase(found);
}

void FairnessChecker::Generated(const std::string& id, int64_t tokens) {
  Admitted(id);  // it may begin and end in one step
  service_[tenant_of_.at(id)] += kOutputWeight * static_cast<double>(tokens);
}

void FairnessChecker::AfterStep(const serving::EngineCore& core) {
  core.ForEachTable([this](const serving::Progress& progress, const serving::BlockTable& table) {
    if (!table.blocks.empty()) Admitted(progress.request().id);
  });
  for (const auto& [tenant, waiting] : waiting_) {
    if (waiting == 0) return;  // no longer everybody waits
  }
  double least = 1e300, most = 0;
  for (const auto& [tenant, waiting] : waiting_) {
    least = std::min(least, service_[tenant]);
    most = std::max(most, service_[tenant]);
  }
  largest_ = std::max(largest_, most - least);
  if (most - least > bound_) {
    violations_.push_back(absl::StrCat("unfair: one tenant was served ", most, ", another ", least,
                                       "; at most ", bound_, " may lie between"));
  }
}

}  // namespace longrun::serving_simulation
