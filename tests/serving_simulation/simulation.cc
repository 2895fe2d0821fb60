#include "serving_simulation/simulation.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "serving_simulation/checkers.h"
#include "serving_simulation/simulated_constraint.h"

namespace longrun::serving_simulation {
namespace {

using serving::Delta;
using serving::FinishReason;

constexpr int64_t kMostSteps = 100'000;  // a history of a few hundred

class History {
 public:
  History(const Scenario& scenario, const std::function<void(const std::string&)>& say)
      : scenario_(scenario),
        say_(say),
        executor_(scenario.executor, scenario.seed ^ 0xe4ec, &now_, &outcome_.violations),
        deltas_(&tokenizer_, &outcome_.violations),
        fairness_(scenario, &outcome_.violations),
        patience_(scenario.engine.max_wait_seconds, &outcome_.violations) {
    (void)executor_.AllocateCache(scenario.engine.blocks, scenario.engine.block_tokens,
                                  serving::KvType::kF32);
    const absl::Status valid = scenario.engine.Validate();
    if (!valid.ok()) outcome_.violations.push_back(std::string(valid.message()));
    core_ =
        std::make_unique<serving::EngineCore>(scenario.engine, &executor_, &tokenizer_, &compiler_,
                                              serving::CacheSecret{}, [this] { return now_; });
    executor_.on_run = [this] { CheckCancelledHoldNothing(); };
  }

  Outcome Run() {
    while (outcome_.violations.empty() && (next_ < scenario_.arrivals.size() || !core_->idle())) {
      if (core_->idle() && now_ < scenario_.arrivals[next_].at) now_ = scenario_.arrivals[next_].at;
      Arrive();
      CancelDue();
      const Time begin = now_;
      core_->Step();
      patience_.AfterStep(*core_, begin);
      CheckMasks(*core_, scenario_, compiler_.TakeEffort(), &outcome_.violations);
      CheckBlocks(*core_, &outcome_.violations);
      if (scenario_.contest && next_ == scenario_.arrivals.size()) fairness_.AfterStep(*core_);
      if (++outcome_.steps > kMostSteps) outcome_.violations.push_back("no progress");
    }
    if (outcome_.violations.empty()) CheckEnd();
    return Summary();
  }

 private:
  void Say(const std::string& what) {
    if (say_) say_(absl::StrCat(now_.us, " ", what));
  }

  void Arrive() {
    // In a contest all are there before the first step.
    while (next_ < scenario_.arrivals.size() &&
           (scenario_.contest || scenario_.arrivals[next_].at <= now_)) {
      const Arrival& arrival = scenario_.arrivals[next_++];
      Ask(arrival);
    }
  }

  void Ask(const Arrival& arrival) {
    const serving::GenerationRequest& r = arrival.request;
    if (const absl::Status possible = core_->Check(r); !possible.ok()) {
      // Prompts are drawn without a look at the cache's size.
      if (!absl::StrContains(possible.message(), "the cache has room")) {
        outcome_.violations.push_back(possible.ToString());
      }
      ++outcome_.rejected;
      return;
    }
    auto submission = core_->Prepare(r, [this, &arrival](const std::string& id, Delta delta) {
      Deliver(arrival, id, std::move(delta));
    });
    if (!submission.ok()) {
      outcome_.violations.push_back(submission.status().ToString());
      return;
    }
    if (const absl::Status refusal = core_->RefusalFor(serving::WaitingOf(r), core_->backlog());
        !refusal.ok()) {
      if (serving::RetryAfterSeconds(refusal) < 1) outcome_.violations.push_back("no retry-after");
      Say(absl::StrCat(r.id, " is refused: ", std::string(refusal.message())));
      ++outcome_.rejected;
      return;
    }
    Say(absl::StrCat(r.id, " of ", r.tenant, ": ", r.prompt.size(), " + ", r.max_tokens, " x ",
                     r.choices, ", priority ", r.priority));
    ++outcome_.requests;
    deltas_.Asked(r);
    patience_.Asked(r, arrival.at);
    submission->arrived = arrival.at;
    core_->Submit(*std::move(submission));
    if (arrival.cancelled_after.us > 0) {
      due_.push_back({arrival.at + arrival.cancelled_after, r.id});
    }
  }

  void Deliver(const Arrival& arrival, const std::string& id, Delta delta) {
    deltas_.Take(id, delta);
    if (!delta.tokens.empty()) patience_.Took(id);
    if (delta.last) patience_.Ended(id);
    if (scenario_.contest) fairness_.Generated(id, static_cast<int64_t>(delta.tokens.size()));
    Say(absl::StrCat(
        id, " choice ", delta.choice, ": ", delta.tokens.size(), " tokens",
        delta.finish == FinishReason::kNone ? "" : ", end ",
        delta.finish == FinishReason::kNone ? "" : absl::StrCat(static_cast<int>(delta.finish))));
    if (delta.last) {
      ++(delta.finish == FinishReason::kCancelled ? outcome_.cancelled
         : delta.finish == FinishReason::kError   ? outcome_.failed
                                                  : outcome_.finished);
    } else if (arrival.cancelled_at_tokens > 0 &&
               deltas_.Tokens(id) >= arrival.cancelled_at_tokens) {
      Cancel(id);
    }
  }

  void Cancel(const std::string& id) {
    core_->Cancel(id);
    cancelled_.insert(id);
    Say(absl::StrCat("cancel ", id));
  }

  void CancelDue() {
    std::erase_if(due_, [this](const auto& due) {
      if (due.first > now_) return false;
      Cancel(due.second);
      return true;
    });
  }

  // Blocks are free before the next step begins.
  void CheckCancelledHoldNothing() {
    core_->ForEachTable([this](const serving::Progress& p, const serving::BlockTable& table) {
      if (cancelled_.contains(p.request().id) && !table.blocks.empty()) {
        outcome_.violations.push_back(
            absl::StrCat(p.request().id, " was cancelled and still holds blocks"));
      }
    });
  }

  void CheckEnd() {
    deltas_.CheckAllEnded();
    if (core_->pool().used() != 0) outcome_.violations.push_back("blocks are used by nobody");
    if (core_->queue().size() != 0 || !core_->backlog().waiting.empty()) {
      outcome_.violations.push_back("the queue is not empty, though nobody is under way");
    }
    const serving::EngineStats& stats = core_->Stats();
    if (stats.requests_total != outcome_.requests || stats.cancelled_total != outcome_.cancelled ||
        stats.failed_total != outcome_.failed ||
        stats.finished_stop_total + stats.finished_length_total != outcome_.finished ||
        stats.end_to_end.count() != outcome_.requests) {
      outcome_.violations.push_back("the figures do not add up");
    }
    for (const serving::TenantStats& tenant : stats.tenants) {
      if (tenant.running != 0 || tenant.waiting != 0) {
        outcome_.violations.push_back(absl::StrCat(tenant.tenant, " is never done"));
      }
    }
  }

  Outcome Summary() {
    const serving::EngineStats& stats = core_->Stats();
    outcome_.preemptions = stats.preemptions_total;
    outcome_.swapped_in = executor_.swapped_in;
    outcome_.hits = stats.prefix_hits_total;
    outcome_.copies = executor_.copies;
    outcome_.drafts_accepted = stats.draft_accepted_total;
    outcome_.idle_steps = outcome_.steps - stats.steps_total;
    outcome_.virtual_time = now_ - Time{1'000'000};
    outcome_.patient = patience_.patient();
    outcome_.most_passes = patience_.most_passes();
    outcome_.largest_unfairness = fairness_.largest_difference() / fairness_.bound();
    outcome_.hash = deltas_.hash();
    for (const int64_t part :
         {outcome_.steps, outcome_.preemptions, outcome_.hits, now_.us, outcome_.swapped_in}) {
      outcome_.hash = Mix64(outcome_.hash ^ static_cast<uint64_t>(part));
    }
    core_->CancelAll();
    return std::move(outcome_);
  }

  const Scenario& scenario_;
  const std::function<void(const std::string&)>& say_;
  Outcome outcome_;
  Time now_{1'000'000};
  model::Tokenizer tokenizer_ = model::Tokenizer::Bytes();
  SimulatedExecutor executor_;
  SimulatedCompiler compiler_{&now_, &outcome_.violations};
  DeltaChecker deltas_;
  FairnessChecker fairness_;
  PatienceChecker patience_;
  std::unique_ptr<serving::EngineCore> core_;
  size_t next_ = 0;
  std::vector<std::pair<Time, std::string>> due_;
  std::set<std::string> cancelled_;
};

}  // namespace

Outcome Simulate(const Scenario& scenario, const std::function<void(const std::string&)>& say) {
  return History(scenario, say).Run();
}

}  // namespace longrun::serving_simulation
