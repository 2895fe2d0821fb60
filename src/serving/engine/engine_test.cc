// The engine with its thread, on an executor that prefers the token after the last one.
#include "serving/engine/engine.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "gtest/gtest.h"
#include "serving/engine/engine_config.h"
#include "serving/engine/engine_core.h"

namespace longrun::serving {
namespace {

class NextTokenExecutor : public Executor {
 public:
  NextTokenExecutor() {
    shape_.layers = shape_.heads = shape_.kv_heads = shape_.d_model = shape_.head_dim = 1;
    shape_.vocab_size = 257;
    shape_.context = 100'000;
  }
  const ModelShape& shape() const override { return shape_; }
  absl::Status AllocateCache(int64_t, int64_t, KvType) override { return absl::OkStatus(); }
  int64_t ActivationBytes(int64_t, int64_t) const override { return 0; }
  absl::StatusOr<StepOutput> Run(const StepInput& input) override {
    {
      std::unique_lock lock(mutex_);
      running_ = true;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_ || let_go_; });
      let_go_ = false;
    }
    logits_.clear();
    for (const Slice& slice : input.slices) {
      for (int64_t i = 0; i < slice.logits; ++i) {
        logits_.resize(logits_.size() + 257);
        const size_t at = slice.tokens.size() - static_cast<size_t>(slice.logits - i);
        logits_[logits_.size() - 257 + static_cast<size_t>(slice.tokens[at] + 1) % 256] = 1;
      }
    }
    return StepOutput{logits_, {}};
  }
  // Steps wait until they are let go; returns when one has begun.
  void Hold(bool held) {
    std::unique_lock lock(mutex_);
    held_ = held;
    running_ = false;
    changed_.notify_all();
  }
  // Ends the step that is held; returns when the next one has begun.
  void LetOneGo() {
    std::unique_lock lock(mutex_);
    let_go_ = true;
    running_ = false;
    changed_.notify_all();
    changed_.wait(lock, [this] { return running_; });
  }
  void WaitUntilRunning() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return running_; });
  }

 private:
  ModelShape shape_;
  std::vector<float> logits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false, running_ = false, let_go_ = false;
};

struct Received {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<Delta>> deltas;
  int64_t ended = 0;

  OnDelta Receiver() {
    return [this](const std::string& id, Delta delta) {
      std::lock_guard lock(mutex);
      ended += delta.last;
      deltas[id].push_back(std::move(delta));
      changed.notify_all();
    };
  }
  void WaitForEnds(int64_t n) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this, n] { return ended >= n; });
  }
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    EngineConfig config;
    config.blocks = 10'000;
    engine_ = *MakeEngine(config, &executor_, &tokenizer_, nullptr);
  }
  static GenerationRequest Ask(const std::string& id, int64_t tokens) {
    GenerationRequest request;
    request.id = id;
    request.prompt = {10};
    request.max_tokens = tokens;
    request.sampling.temperature = 0;
    return request;
  }

  model::Tokenizer tokenizer_ = model::Tokenizer::Bytes();
  NextTokenExecutor executor_;
  Received received_;  // outlives the engine
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, GeneratesForManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string id = std::to_string(t) + "." + std::to_string(i);
        EXPECT_TRUE(engine_->Submit(Ask(id, 5), received_.Receiver()).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  received_.WaitForEnds(100);
  for (const auto& [id, deltas] : received_.deltas) {
    std::vector<TokenId> tokens;
    for (const Delta& delta : deltas) {
      tokens.insert(tokens.end(), delta.tokens.begin(), delta.tokens.end());
    }
    EXPECT_EQ(tokens, (std::vector<TokenId>{11, 12, 13, 14, 15})) << id;
    EXPECT_EQ(deltas.back().finish, FinishReason::kLength);
    EXPECT_EQ(deltas.back().usage.completion_tokens, 5);
  }
  engine_->Drain(Duration::Seconds(60));
  const EngineStats stats = engine_->Stats();
  EXPECT_EQ(stats.finished_length_total, 100);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.stalled_seconds, 0);
}

// On a clock of its own: 10 ms a step and 0.5 ms a token.
class TimedExecutor final : public NextTokenExecutor {
 public:
  absl::StatusOr<StepOutput> Run(const StepInput& input) override {
    now = now + Duration::Millis(10);
    for (const Slice& slice : input.slices) {
      now = now + Duration::Micros(500 * static_cast<int64_t>(slice.tokens.size()));
    }
    return NextTokenExecutor::Run(input);
  }
  Time now;
};

class EngineCoreTest : public testing::Test {
 protected:
  EngineCoreTest() {
    EngineConfig config;
    config.blocks = 10'000;
    config.max_sequences = 8;
    config.max_wait_seconds = 30;
    core_.emplace(config, &executor_, &tokenizer_, nullptr, CacheSecret{},
                  [this] { return executor_.now; });
  }
  // Of equal tokens, those of `text` the same.
  GenerationRequest Ask(int64_t prompt_tokens, int64_t max_tokens, int64_t text) {
    GenerationRequest request;
    request.id = std::to_string(next_++);
    request.prompt.assign(static_cast<size_t>(prompt_tokens), 7);
    request.prompt[0] = static_cast<TokenId>(text % 256);
    request.max_tokens = max_tokens;
    request.ignore_end_of_text = true;
    return request;
  }
  void Submit(GenerationRequest request) {
    auto submission = core_->Prepare(std::move(request), [](const std::string&, Delta) {});
    ASSERT_TRUE(submission.ok()) << submission.status();
    core_->Submit(*std::move(submission));
  }
  double Wait() { return core_->Stats().predicted_wait_seconds; }
  absl::Status Refusal(const std::string& tenant = "", int32_t priority = 0) {
    GenerationRequest request = Ask(1, 2, 0);
    request.tenant = tenant;
    request.priority = priority;
    return core_->RefusalFor(WaitingOf(request), core_->backlog());
  }

  TimedExecutor executor_;
  const model::Tokenizer tokenizer_ = model::Tokenizer::Bytes();
  std::optional<EngineCore> core_;
  int64_t next_ = 0;
};

TEST_F(EngineCoreTest, WhatTheCacheHoldsIsNotWaitedFor) {
  for (int i = 0; i < 300; ++i) Submit(Ask(1'001, 4, /*text=*/1));
  while (core_->Stats().finished_length_total < 100) ASSERT_TRUE(core_->Step());
  const double predicted = Wait();
  const Time begin = executor_.now;
  while (core_->Stats().waiting > 0) ASSERT_TRUE(core_->Step());
  const double took = (executor_.now - begin).seconds();
  EXPECT_GT(predicted, took / 2);
  EXPECT_LT(predicted, took * 2);
}

TEST_F(EngineCoreTest, WhoEndsWithItsPromptWaitsForNobodysEnd) {
  for (int i = 0; i < 10; ++i) Submit(Ask(10, 1'000, i));  // less than one a second ends
  while (core_->Step()) {
  }
  Submit(Ask(30'000, 100, 50));  // long, and in no way like those that follow
  while (core_->Stats().generation_tokens_total < 10'002) ASSERT_TRUE(core_->Step());
  for (int i = 0; i < 1'000; ++i) {
    GenerationRequest request = Ask(20, 0, i);
    request.embedding = true;
    ASSERT_TRUE(core_->RefusalFor(WaitingOf(request), core_->backlog()).ok()) << i;
    Submit(std::move(request));
  }
}

TEST_F(EngineCoreTest, OneTenantsQueueIsItsOwnWait) {
  for (int i = 0; i < 200; ++i) Submit(Ask(10, 200, i));  // 15 s for each eight of them
  while (core_->Stats().finished_length_total < 16) ASSERT_TRUE(core_->Step());
  EXPECT_EQ(Refusal().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Refusal("another").ok());
  EXPECT_TRUE(Refusal("", /*priority=*/1).ok());
}

TEST_F(EngineCoreTest, AFewTokensTellNotHowManyThereCouldHaveBeen) {
  // Alone, one token in a step of 10.5 ms: 95 tokens a second, and a sequence in 2 s.
  Submit(Ask(1, 200, 0));
  while (core_->Step()) {
  }
  // 32,000 tokens take 16 s at least, and not the 336 s of the rate so far.
  for (int i = 0; i < 32; ++i) {
    EXPECT_TRUE(Refusal().ok()) << i;
    Submit(Ask(1'000, 10, i));
  }
  core_->Step();
  core_->Step();
  EXPECT_GT(Wait(), 14);
  EXPECT_LT(Wait(), 25);
  for (int i = 32; i < 64; ++i) Submit(Ask(1'000, 10, i));
  EXPECT_EQ(Refusal().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(EngineTest, CancelsAndKnowsThatItStands) {
  executor_.Hold(true);
  ASSERT_TRUE(engine_->Submit(Ask("a", 90'000), received_.Receiver()).ok());
  executor_.WaitUntilRunning();
  const double before = engine_->Stats().stalled_seconds;
  while (engine_->Stats().stalled_seconds <= before) std::this_thread::yield();  // it grows
  EXPECT_EQ(engine_->Submit(Ask("a", 1), received_.Receiver()).code(),
            absl::StatusCode::kInvalidArgument);
  engine_->Cancel("a");
  engine_->Cancel("unknown");
  executor_.Hold(false);
  received_.WaitForEnds(1);
  EXPECT_EQ(received_.deltas["a"].back().finish, FinishReason::kCancelled);
}

// What the engine's thread has taken and not told of yet waits as well.
TEST_F(EngineTest, WhoWasTakenUpStillWaitsAndIsCounted) {
  engine_.reset();
  EngineConfig config;
  config.blocks = 10'000;
  config.max_sequences = 1;
  config.max_step_tokens = 1'000;
  config.max_waiting = 10;
  engine_ = *MakeEngine(config, &executor_, &tokenizer_, nullptr);
  executor_.Hold(true);
  int64_t accepted = 0;
  const auto submit = [&] {
    const std::string id = std::to_string(accepted);
    const bool ok = engine_->Submit(Ask(id, 90'000), received_.Receiver()).ok();
    accepted += ok;
    return ok;
  };
  ASSERT_TRUE(submit());
  executor_.WaitUntilRunning();
  while (submit()) {
  }
  EXPECT_EQ(accepted, 10);
  for (int step = 0; step < 3; ++step) {  // the mailbox is taken with the first
    executor_.LetOneGo();
    while (submit()) {
    }
    EXPECT_LE(accepted, 11);  // one runs
    EXPECT_GE(engine_->Stats().waiting, 9);
  }
  executor_.Hold(false);
}

// Counts what it is asked to compile.
class CountingCompiler final : public ConstraintCompiler {
 public:
  absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const Format&,
                                                            const std::string&) override {
    ++compiled;
    return absl::ResourceExhaustedError("no memory for schemas");
  }
  int64_t bytes() const override { return 0; }
  int compiled = 0;
};

TEST_F(EngineTest, NothingIsCompiledForWhoIsRefused) {
  CountingCompiler compiler;
  EngineConfig config;
  config.blocks = 10'000;
  config.max_waiting = 1;
  engine_.reset();
  engine_ = *MakeEngine(config, &executor_, &tokenizer_, &compiler);
  const auto submit = [&](int64_t max_tokens) {
    GenerationRequest request = Ask("schema", max_tokens);
    request.format.kind = FormatKind::kJsonSchema;
    return engine_->Submit(request, received_.Receiver()).code();
  };
  EXPECT_EQ(submit(5), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(compiler.compiled, 1);
  EXPECT_EQ(engine_->Stats().rejected_total, 1);
  executor_.Hold(true);
  ASSERT_TRUE(engine_->Submit(Ask("other", 10), received_.Receiver()).ok());
  EXPECT_EQ(submit(5), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(submit(-1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(compiler.compiled, 1);
  EXPECT_EQ(engine_->Stats().rejected_total, 2);
  executor_.Hold(false);
  engine_.reset();  // before the compiler
}

TEST_F(EngineTest, AReceiverMayCancel) {
  std::atomic<bool> ended = false;
  ASSERT_TRUE(engine_
                  ->Submit(Ask("a", 90'000),
                           [&](const std::string& id, Delta delta) {
                             if (delta.last) {
                               EXPECT_EQ(delta.finish, FinishReason::kCancelled);
                               ended = true;
                               ended.notify_all();
                             } else {
                               engine_->Cancel(id);
                             }
                           })
                  .ok());
  ended.wait(false);
}

TEST_F(EngineTest, DrainingRefusesAndEndsWhatTakesTooLong) {
  ASSERT_TRUE(engine_->Submit(Ask("a", 90'000), received_.Receiver()).ok());
  engine_->Drain(Duration::Millis(1));
  EXPECT_EQ(received_.deltas["a"].back().finish, FinishReason::kCancelled);
  EXPECT_EQ(engine_->Submit(Ask("b", 1), received_.Receiver()).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, EndsWithWorkUnderWay) {
  ASSERT_TRUE(engine_->Submit(Ask("a", 90'000), received_.Receiver()).ok());
  engine_.reset();
  EXPECT_EQ(received_.deltas["a"].back().finish, FinishReason::kCancelled);
}

}  // namespace
}  // namespace longrun::serving
