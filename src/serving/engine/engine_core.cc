#include "serving/engine/engine_core.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "serving/engine/choice.h"
#include "serving/engine/request_rules.h"
#include "serving/engine/retry_after.h"

namespace longrun::serving {
namespace {

bool ByClaim(const Job* a, const Job* b) { return Before(*a, *b); }

// After its prompt.
bool GoesOn(const GenerationRequest& r) { return !r.embedding && r.max_tokens > 1; }

// Whoever goes after all that wait.
const Waiting kLast = {.priority = std::numeric_limits<int32_t>::min(), .requests = 1};

}  // namespace

EngineCore::EngineCore(const EngineConfig& config, Executor* executor,
                       const model::Tokenizer* tokenizer, ConstraintCompiler* compiler,
                       const CacheSecret& secret, Clock clock)
    : config_(config),
      executor_(*executor),
      tokenizer_(*tokenizer),
      compiler_(compiler),
      clock_(std::move(clock)),
      vocab_size_(std::min(executor->shape().vocab_size, tokenizer->vocab_size())),
      pool_(config.blocks, config.block_tokens, secret),
      blocks_(
          {.share_prefixes = config.share_prefixes,
           .swap_bytes = config.swap_bytes,
           .block_bytes = executor->shape().KvBytesPerToken(config.kv_type) * config.block_tokens},
          &pool_, executor, &queue_, &times_, &clock_),
      accounts_(executor->shape(), config.kv_type),
      masks_(config.MaskEffort(), executor) {}

EngineCore::~EngineCore() = default;

absl::Status EngineCore::Check(const GenerationRequest& request) const {
  return CheckRequest(request, config_, executor_.shape(), vocab_size_);
}

absl::StatusOr<Submission> EngineCore::Prepare(GenerationRequest request, OnDelta on_delta) const {
  Submission submission;
  if (request.format.kind != FormatKind::kText && !request.embedding) {
    if (compiler_ == nullptr) {
      return absl::InvalidArgumentError("this server does not constrain the format of its text");
    }
    LR_ASSIGN_OR_RETURN(submission.constraint, compiler_->Compile(request.format, request.tenant));
    request.format.json_schema = {};  // it would wait with the request
  }
  submission.request = std::move(request);
  submission.on_delta = std::move(on_delta);
  return submission;
}

Waiting WaitingOf(const GenerationRequest& r) {
  return {.priority = r.priority,
          .tenant = r.tenant,
          .requests = 1,
          .tokens = static_cast<int64_t>(r.prompt.size()),
          .places = GoesOn(r) ? r.choices : 0};
}

absl::Status EngineCore::RefusalFor(const Waiting& newcomer, const Backlog& backlog) const {
  const double wait = PredictedWaitSeconds(newcomer, backlog);
  if (wait <= config_.max_wait_seconds && MayWait(newcomer, backlog, config_.max_waiting)) {
    return absl::OkStatus();
  }
  const double seconds = std::max(1.0, std::ceil(wait - config_.max_wait_seconds));
  return RetryAfter(absl::ResourceExhaustedError(absl::StrCat(
                        "too many requests: ", backlog.requests(),
                        " wait, and one more would wait ", FormatDuration(Duration::Seconds(wait)),
                        "; try again in ", FormatDuration(Duration::Seconds(seconds)))),
                    seconds);
}

void EngineCore::Submit(Submission submission) {
  auto request = std::make_unique<Progress>();
  request->submission = std::move(submission);
  if (request->submission.arrived.never()) request->submission.arrived = clock_();
  const GenerationRequest& r = request->request();
  LR_CHECK(!requests_.contains(r.id));
  request->number = next_number_++;
  request->finish.assign(static_cast<size_t>(r.choices), FinishReason::kNone);
  request->unfinished = r.choices;
  request->usage.prompt_tokens = static_cast<int64_t>(r.prompt.size());

  auto sequence = std::make_unique<Sequence>();
  sequence->progress = request.get();
  sequence->priority = r.priority;
  sequence->request = request->number;
  sequence->tenant = pool_.Tenant(r.tenant);
  sequence->waiting_since = request->submission.arrived;
  sequence->slots = r.choices;
  sequence->stays = GoesOn(r);
  sequence->all_logits = r.prompt_logprobs && !r.embedding;
  sequence->awaits_mask = request->submission.constraint != nullptr && r.max_tokens > 0;
  sequence->tokens = r.prompt;
  sequence->known = static_cast<int64_t>(r.prompt.size());
  sequence->table.tenant = sequence->tenant;
  if (config_.share_prefixes) pool_.Name(&sequence->table, sequence->tokens);
  queue_.Arrive(sequence.get());
  accounts_.Arrived(*request);
  request->sequences.push_back(std::move(sequence));
  requests_.emplace(r.id, std::move(request));
}

void EngineCore::TakeCancels() {
  // A receiver of the last delta may cancel others.
  while (!cancels_.empty()) {
    const std::vector<std::string> ids = std::exchange(cancels_, {});
    for (const std::string& id : ids) {
      const auto found = requests_.find(id);
      if (found == requests_.end() || found->second->done()) continue;
      End(found->second.get(), FinishReason::kCancelled, absl::OkStatus());
    }
  }
  Sweep();
}

void EngineCore::CancelAll() {
  for (const auto& [id, request] : requests_) cancels_.push_back(id);
  std::sort(cancels_.begin(), cancels_.end());
  TakeCancels();
}

int64_t EngineCore::Decoding() const {
  return std::count_if(running_.begin(), running_.end(),
                       [](const Job* job) { return job->decodes() && !job->sits_out(); });
}

void EngineCore::Draft() {
  const bool few = config_.draft.longest > 0 && Decoding() <= config_.draft_batch;
  for (Job* job : running_) {
    Sequence& s = *static_cast<Sequence*>(job);
    s.draft_tokens.clear();
    if (few && s.decodes() && !s.sits_out()) {
      const GenerationRequest& r = s.progress->request();
      DraftConfig draft = config_.draft;
      const int64_t left = static_cast<int64_t>(r.prompt.size()) + r.max_tokens - s.known;
      draft.longest = std::min(draft.longest, left - 1);
      if (draft.longest > 0) s.draft_tokens = serving::Draft(s.tokens, draft);
      std::erase_if(s.draft_tokens, [this](TokenId t) { return t < 0 || t >= vocab_size_; });
    }
    s.draft = static_cast<int64_t>(s.draft_tokens.size());
  }
}

void EngineCore::Plan() {
  const StepLimits limits = {.tokens = TokenBudget(times_, config_.goals, Decoding(),
                                                   config_.block_tokens, config_.max_step_tokens),
                             .logits = config_.max_step_logits,
                             .sequences = config_.max_sequences,
                             .draft_batch = config_.draft_batch,
                             .spare_blocks = static_cast<int64_t>(running_.size())};
  queue_.Age(clock_(), Duration::Seconds(config_.max_wait_seconds),
             running_.empty() ? std::numeric_limits<int32_t>::min() : running_.front()->priority);
  PlanStep(limits, &running_, &queue_, &blocks_, &plan_);
}

// Those admitted run from now on.
void EngineCore::Join() {
  for (Job* job : plan_.admitted) {
    Sequence& s = *static_cast<Sequence*>(job);
    if (!s.progress->admitted) accounts_.Admitted(s.progress, s.computed, now_);
    running_.insert(std::upper_bound(running_.begin(), running_.end(), job, ByClaim), job);
  }
}

void EngineCore::BuildInput() {
  blocks_.TakeCopies(&input_.copies);
  input_.slices.clear();
  for (const Share& share : plan_.shares) {
    Sequence& s = *static_cast<Sequence*>(share.job);
    s.tokens.insert(s.tokens.end(), s.draft_tokens.begin(), s.draft_tokens.begin() + share.drafts);
    Slice slice;
    slice.tokens = std::span(s.tokens).subspan(static_cast<size_t>(s.computed),
                                               static_cast<size_t>(share.tokens));
    slice.position = s.computed;
    slice.blocks = s.table.blocks;
    slice.states = s.progress->request().embedding;
    if (s.all_logits) {
      slice.logits = share.tokens;
    } else if (s.computed + share.tokens - share.drafts == s.known && !slice.states) {
      slice.logits = 1 + share.drafts;
    }
    input_.slices.push_back(slice);
  }
}

bool EngineCore::Step() {
  TakeCancels();
  if (idle()) return false;
  const Time begin = clock_();
  masks_.Prepare(running_, &queue_);
  Draft();
  Plan();
  now_ = clock_();
  Join();
  int64_t prompt_tokens = 0, found_tokens = 0;
  for (const Share& share : plan_.shares) {
    if (!share.job->decodes()) prompt_tokens += share.tokens;
  }
  for (const Job* job : plan_.admitted) found_tokens += job->computed;  // before this step
  ended_sequences_ = 0;
  if (plan_.shares.empty()) {
    LR_CHECK(std::any_of(running_.begin(), running_.end(),
                         [](const Job* job) { return job->sits_out(); }));
    now_ = clock_();
  } else {
    Execute(prompt_tokens);
  }
  Measure(prompt_tokens + found_tokens, (now_ - begin).seconds());
  Sweep();
  return true;
}

void EngineCore::Execute(int64_t prompt_tokens) {
  BuildInput();
  const Time begin = clock_();
  const absl::StatusOr<StepOutput> output = executor_.Run(input_);
  now_ = clock_();
  const double seconds = (now_ - begin).seconds();
  size_t row = 0, state = 0;
  const size_t stride = static_cast<size_t>(executor_.shape().vocab_size);
  const size_t d_model = static_cast<size_t>(executor_.shape().d_model);
  if (output.ok()) {
    times_.Add(plan_.tokens, seconds);
    accounts_.Step(input_, seconds, prompt_tokens);
    SampleAll(output->logits);
  }
  for (size_t i = 0; i < plan_.shares.size(); ++i) {
    const Share& share = plan_.shares[i];
    Sequence* s = static_cast<Sequence*>(share.job);
    s->tokens.resize(static_cast<size_t>(s->known));  // the drafts' tokens stay in draft_tokens
    if (!output.ok()) {
      End(s->progress, FinishReason::kError, output.status());
      continue;
    }
    const size_t rows = static_cast<size_t>(input_.slices[i].logits);
    const size_t states = input_.slices[i].states ? static_cast<size_t>(share.tokens) : 0;
    Take(share, output->logits.subspan(row * stride, rows * stride),
         output->states.subspan(state * d_model, states * d_model));
    row += rows;
    state += states;
  }
}

// Only while more could have been done: else it is how much was asked for, not what we can do.
void EngineCore::Measure(int64_t prompt_tokens, double seconds) {
  const bool prompts_left =
      queue_.size() > 0 || std::any_of(running_.begin(), running_.end(), [](const Job* job) {
        return !job->decodes() && !job->sits_out();
      });
  if (prompts_left) prompt_rate_.Add(static_cast<double>(prompt_tokens), seconds);
  if (queue_.size() > 0) end_rate_.Add(static_cast<double>(ended_sequences_), seconds);
}

Backlog EngineCore::backlog() const {
  Backlog backlog;
  queue_.ForEachLine([&backlog](const FairQueue::Line& line) {
    const Job* oldest = line.jobs.front();
    const Waiting waiting = {
        .priority = oldest->priority,
        .tenant = static_cast<const Sequence*>(oldest)->progress->request().tenant,
        .requests = static_cast<int64_t>(line.jobs.size()),
        .tokens = line.tokens,
        .places = line.places};
    if (backlog.waiting.size() < Backlog::kMostLines) {
      backlog.waiting.push_back(waiting);  // each is another
    } else {
      backlog.Add(waiting);
    }
  });
  backlog.free_slots = config_.max_sequences;
  for (const Job* job : running_) {
    backlog.free_slots -= job->slots;
    if (!job->decodes() && !job->sits_out()) backlog.running_tokens += job->remaining();
  }
  backlog.free_blocks = pool_.available();
  backlog.block_tokens = pool_.block_tokens();
  backlog.prompt_tokens_per_second = prompt_rate_.per_second();
  backlog.sequences_per_second = end_rate_.per_second();
  return backlog;
}

const EngineStats& EngineCore::Stats(const Backlog& backlog) {
  EngineStats& stats = accounts_.stats();
  stats.running = static_cast<int64_t>(running_.size());
  stats.waiting = queue_.size();
  stats.predicted_wait_seconds = PredictedWaitSeconds(kLast, backlog);
  stats.blocks = pool_.total();
  stats.blocks_used = pool_.used();
  stats.blocks_cached = pool_.cached();
  stats.block_tokens = pool_.block_tokens();
  stats.prefix_queries_total = blocks_.hit_queries();
  stats.prefix_hits_total = blocks_.hits();
  stats.preemptions_total = blocks_.preemptions();
  return stats;
}

void EngineCore::ForEachTable(
    const std::function<void(const Progress&, const BlockTable&)>& visit) const {
  for (const auto& [id, request] : requests_) {
    for (const auto& sequence : request->sequences) visit(*request, sequence->table);
  }
}

}  // namespace longrun::serving
