// EngineCore on a thread of its own: a mailbox in, deltas out, a copy of the figures for whoever
// asks.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/thread_name.h"
#include "base/time.h"
#include "serving/engine/delivery.h"
#include "serving/engine/engine_core.h"

namespace longrun::serving {
namespace {

// Steady, and since the epoch as of the start.
class SteadyClock {
 public:
  SteadyClock() : start_(WallClock().Now()) {}
  Time Now() const { return start_ + Duration::Seconds(watch_.seconds()); }

 private:
  Time start_;
  Stopwatch watch_;
};

class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(const EngineConfig& config, Executor* executor, const model::Tokenizer* tokenizer,
                 ConstraintCompiler* compiler)
      : core_(config, executor, tokenizer, compiler, DrawCacheSecret(),
              [this] { return clock_.Now(); }),
        delivery_([this](const std::vector<std::string>& ids) { Ended(ids); }) {
    published_ = core_.Stats();
    thread_ = std::thread([this] { Loop(); });
  }

  ~ThreadedEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  absl::Status Submit(GenerationRequest request, OnDelta on_delta) override {
    LR_RETURN_IF_ERROR(core_.Check(request));
    const std::string id = request.id;
    const Waiting waiting = WaitingOf(request);
    {  // before the work of compiling
      std::lock_guard lock(mutex_);
      LR_RETURN_IF_ERROR(Refusal(id, waiting));
    }
    absl::StatusOr<Submission> submission = core_.Prepare(std::move(request), std::move(on_delta));
    {
      std::lock_guard lock(mutex_);
      if (absl::IsResourceExhausted(submission.status())) ++rejected_;
      LR_RETURN_IF_ERROR(submission.status());
      LR_RETURN_IF_ERROR(Refusal(id, waiting));
      submission->arrived = clock_.Now();
      if (!HasWork()) last_progress_ = clock_.Now();
      under_way_.insert(id);
      backlog_.Add(waiting);
      mailed_.push_back(waiting);
      mailbox_.push_back({.submission = *std::move(submission)});
    }
    wake_.notify_all();
    return absl::OkStatus();
  }

  void Cancel(const std::string& id) override {
    {
      std::lock_guard lock(mutex_);
      if (!under_way_.contains(id)) return;
      mailbox_.push_back({.cancel = id});
    }
    wake_.notify_all();
  }

  EngineStats Stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats stats = published_;
    stats.waiting = backlog_.requests();
    stats.rejected_total = rejected_;
    if (HasWork()) stats.stalled_seconds = (clock_.Now() - last_progress_).seconds();
    return stats;
  }

  void Drain(Duration limit) override {
    LR_CHECK(!delivery_.IsThisThread());
    std::unique_lock lock(mutex_);
    draining_ = true;
    const auto idle = [this] { return !HasWork(); };
    if (idle_.wait_for(lock, std::chrono::microseconds(limit.us), idle)) return;
    cancel_all_ = true;
    wake_.notify_all();
    idle_.wait(lock, idle);
  }

 private:
  struct Mail {  // one of both
    std::optional<Submission> submission;
    std::string cancel;
  };

  absl::Status Refusal(const std::string& id, const Waiting& waiting) {
    if (draining_ || stopping_) return absl::UnavailableError("the engine is stopping");
    if (under_way_.contains(id)) {
      return absl::InvalidArgumentError(absl::StrCat("request ", id, " is under way already"));
    }
    const absl::Status refusal = core_.RefusalFor(waiting, backlog_);
    if (!refusal.ok()) ++rejected_;
    return refusal;
  }

  bool HasWork() const { return !under_way_.empty(); }

  void Loop() {
    NameThread("lr-engine");
    std::vector<Mail> mail;
    while (true) {
      bool cancel_all = false;
      double executed = 0;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock,
                   [this] { return stopping_ || cancel_all_ || !mailbox_.empty() || !core_idle_; });
        mail.swap(mailbox_);
        mailed_.clear();  // in the backlog all the same, until the core tells of them
        cancel_all = std::exchange(cancel_all_, false) || stopping_;
        executed = published_.step_seconds_total;
        if (stopping_ && mail.empty() && core_idle_) return;
      }
      const Stopwatch turn;
      for (Mail& one : mail) {
        if (one.submission) {
          core_.Submit(Watched(*std::move(one.submission)));
        } else {
          core_.Cancel(one.cancel);
        }
      }
      mail.clear();
      if (cancel_all) core_.CancelAll();
      const bool stepped = core_.Step();
      Publish(stepped, turn, executed);
      // After that: whoever has a delta finds it in the figures.
      const Stopwatch handing_over;
      delivery_.HandOver(&made_);
      overhead_ += handing_over.seconds();
    }
  }

  Submission Watched(Submission submission) {
    submission.on_delta = [this, receiver = std::make_shared<const OnDelta>(std::move(
                                     submission.on_delta))](const std::string& id, Delta delta) {
      made_.push_back({receiver, id, std::move(delta)});
    };
    return submission;
  }

  // On the delivery's thread: the ids are free again.
  void Ended(const std::vector<std::string>& ids) {
    std::lock_guard lock(mutex_);
    for (const std::string& id : ids) under_way_.erase(id);
    if (!HasWork()) idle_.notify_all();
  }

  void Publish(bool stepped, const Stopwatch& turn, double executed) {
    Backlog backlog = core_.backlog();
    const EngineStats& stats = core_.Stats(backlog);
    std::lock_guard lock(mutex_);
    published_ = stats;
    overhead_ += turn.seconds() - (stats.step_seconds_total - executed);
    published_.overhead_seconds_total = overhead_;
    backlog_ = std::move(backlog);
    for (const Waiting& mailed : mailed_) backlog_.Add(mailed);
    core_idle_ = core_.idle();
    if (stepped) last_progress_ = clock_.Now();
  }

  const SteadyClock clock_;
  EngineCore core_;                   // of the thread, but for Check, Prepare and RefusalFor
  std::vector<Delivery::Item> made_;  // by the turn under way; of the thread
  double overhead_ = 0;               // of the thread

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable wake_, idle_;
  std::vector<Mail> mailbox_;
  std::vector<Waiting> mailed_;                 // submissions in the mailbox
  absl::flat_hash_set<std::string> under_way_;  // from Submit until its last delta is received
  bool draining_ = false, stopping_ = false, cancel_all_ = false;
  bool core_idle_ = true;
  Backlog backlog_;  // as last published, and what was submitted since
  EngineStats published_;
  int64_t rejected_ = 0;
  Time last_progress_;

  Delivery delivery_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeEngine(const EngineConfig& config, Executor* executor,
                                                   const model::Tokenizer* tokenizer,
                                                   ConstraintCompiler* compiler) {
  LR_RETURN_IF_ERROR(config.Validate());
  LR_RETURN_IF_ERROR(executor->AllocateCache(config.blocks, config.block_tokens, config.kv_type));
  return std::make_unique<ThreadedEngine>(config, executor, tokenizer, compiler);
}

}  // namespace longrun::serving
