#include "serving/schedule/step_plan.h"

#include <algorithm>

#include "base/check.h"
#include "serving/schedule/step_times.h"

namespace longrun::serving {
namespace {

constexpr int64_t kUnmeasuredTokens = 512;

class Planner {
 public:
  Planner(const StepLimits& limits, std::vector<Job*>* running, FairQueue* queue, Blocks* blocks,
          StepPlan* plan)
      : limits_(limits), running_(*running), queue_(*queue), blocks_(*blocks), plan_(*plan) {}

  void Plan() {
    Decode();
    Prefill();
    Admit();
  }

 private:
  using Jobs = std::vector<Job*>;

  int64_t Left() const { return limits_.tokens - plan_.tokens; }
  int64_t LogitsLeft() const { return limits_.logits - plan_.logits; }

  static int64_t Logits(const Job& job, int64_t tokens, int64_t drafts) {
    if (job.all_logits) return tokens;
    return job.computed + tokens - drafts == job.known ? 1 + drafts : 0;
  }

  void Decode() {
    int64_t decoding = 0;
    bool prompts = queue_.size() > 0;
    for (const Job* job : running_) {
      if (job->sits_out()) continue;
      decoding += job->decodes();
      prompts |= !job->decodes();
    }
    const bool draft = decoding <= limits_.draft_batch && !prompts;
    int64_t others = decoding;  // that have yet to get their token
    // running_ loses its worst claims on the way.
    for (size_t i = 0; i < running_.size(); ++i) {
      Job* job = running_[i];
      if (!job->decodes() || job->sits_out() || Left() < 1 || LogitsLeft() < 1) continue;
      const int64_t room = std::min(Left(), LogitsLeft()) - --others;
      const int64_t drafts = draft ? std::min(std::max<int64_t>(room - 1, 0), job->draft) : 0;
      if (drafts > 0 && blocks_.Reserve(job, 1 + drafts)) {
        Add(job, 1 + drafts, drafts);
      } else if (MakeRoom(job, 1)) {
        Add(job, 1, 0);
      }
    }
  }

  void Prefill() {
    for (size_t i = 0; i < running_.size(); ++i) {
      Job* job = running_[i];
      if (job->decodes()) continue;
      const int64_t tokens = Chunk(*job);
      if (tokens > 0 && MakeRoom(job, tokens)) Add(job, tokens, 0);
    }
  }

  int64_t Chunk(const Job& job) const {
    int64_t tokens = std::min(job.remaining(), Left());
    if (job.all_logits) tokens = std::min(tokens, LogitsLeft());
    // The last token of a prompt needs a row; without one, or the mask for it, it waits.
    if (tokens == job.remaining() && (LogitsLeft() < 1 || job.awaits_mask)) --tokens;
    return tokens;
  }

  void Add(Job* job, int64_t tokens, int64_t drafts) {
    plan_.shares.push_back({job, tokens, drafts});
    plan_.tokens += tokens;
    plan_.logits += Logits(*job, tokens, drafts);
  }

  // Reserves, preempting whoever has the worse claim; false where the job itself had to go.
  bool MakeRoom(Job* job, int64_t tokens) {
    while (!blocks_.Reserve(job, tokens)) {
      Job* worst = running_.back();
      Preempt(running_.end() - 1);
      if (worst == job) return false;
    }
    return true;
  }

  // It goes, and what was planned for it.
  void Preempt(Jobs::iterator at) {
    Job* const job = *at;
    running_.erase(at);
    const auto share = std::find_if(plan_.shares.begin(), plan_.shares.end(),
                                    [job](const Share& s) { return s.job == job; });
    if (share != plan_.shares.end()) {
      plan_.tokens -= share->tokens;
      plan_.logits -= Logits(*job, share->tokens, share->drafts);
      plan_.shares.erase(share);
    }
    blocks_.Preempt(job);
  }

  void Admit() {
    int64_t slots = limits_.sequences, lacking = 0;
    for (const Job* job : running_) {
      slots -= job->slots;
      lacking += blocks_.Lacking(*job);
    }
    queue_.Begin();
    while (Left() > 0 && LogitsLeft() > 0) {
      Job* job = queue_.Front();
      if (job == nullptr) return;
      const Blocks::Demand demand = blocks_.Look(*job);
      if (demand.later) {
        queue_.Skip();
        continue;
      }
      const bool alone = running_.empty() && plan_.admitted.empty();
      const int64_t needed = demand.blocks + lacking + (alone ? 0 : limits_.spare_blocks);
      if (job->slots > slots || needed > blocks_.Available()) {
        const auto out = MakesWayFor(*job);
        if (out == running_.end()) return;
        slots += (*out)->slots;
        lacking -= blocks_.Lacking(**out);
        Preempt(out);
        queue_.Begin();
        continue;
      }
      queue_.Take();
      blocks_.Admit(job);
      Start(job, &slots, &lacking);
    }
  }

  // What runs with less priority; equals do not, but for those that sit out, of a tenant that was
  // served more. Nobody does for more than one in a step.
  Jobs::iterator MakesWayFor(const Job& newcomer) {
    if (running_.empty() || !plan_.admitted.empty()) return running_.end();
    if (running_.back()->priority < newcomer.priority) return running_.end() - 1;
    const double served = queue_.counter(newcomer.tenant);
    const auto out = std::find_if(running_.rbegin(), running_.rend(), [&](const Job* job) {
      return job->sits_out() && job->priority <= newcomer.priority &&
             queue_.counter(job->tenant) > served;
    });
    return out == running_.rend() ? running_.end() : out.base() - 1;
  }

  void Start(Job* job, int64_t* slots, int64_t* lacking) {
    plan_.admitted.push_back(job);
    *slots -= job->slots;
    const int64_t tokens = Chunk(*job);
    if (tokens > 0) {
      LR_CHECK(blocks_.Reserve(job, tokens));
      Add(job, tokens, 0);
    }
    *lacking += blocks_.Lacking(*job);
  }

  const StepLimits& limits_;
  std::vector<Job*>& running_;
  FairQueue& queue_;
  Blocks& blocks_;
  StepPlan& plan_;
};

}  // namespace

void PlanStep(const StepLimits& limits, std::vector<Job*>* running, FairQueue* queue,
              Blocks* blocks, StepPlan* plan) {
  plan->shares.clear();
  plan->admitted.clear();
  plan->tokens = plan->logits = 0;
  Planner(limits, running, queue, blocks, plan).Plan();
}

int64_t TokenBudget(const StepTimes& times, const LatencyGoals& goals, int64_t decoding,
                    int64_t least_prompt, int64_t most) {
  const double seconds =
      decoding > 0 ? goals.inter_token_seconds : goals.time_to_first_token_seconds / 2;
  const int64_t fits = times.TokensWithin(seconds).value_or(kUnmeasuredTokens);
  return std::min(most, std::max(fits, decoding + least_prompt));
}

}  // namespace longrun::serving
