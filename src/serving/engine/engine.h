// The serving engine: takes requests from any thread, runs steps on its own, calls back with what
// each step made. It owns the block manager, the scheduler and the sequences; the executor,
// tokenizer and clock are handed in and outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "serving/execute/executor.h"
#include "serving/request.h"

namespace longrun::serving {

// What the engine counts; a consistent copy, for metrics, health and `longrun top`.
struct TenantStats {
  std::string tenant;
  int64_t requests = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  int64_t running = 0, waiting = 0;
};

// Upper bounds in seconds (the last bucket is unbounded) and counts.
struct Histogram {
  std::vector<double> bounds;
  std::vector<int64_t> counts;  // bounds.size() + 1, not cumulated
  double sum = 0;
  void Add(double value);
  int64_t count() const;
};

struct EngineStats {
  int64_t running = 0;  // sequences that hold blocks
  int64_t waiting = 0;  // requests in the queue
  // Until the first token of whoever came now, after all others.
  double predicted_wait_seconds = 0;
  int64_t blocks = 0, blocks_used = 0, blocks_cached = 0;  // cached: unreferenced, reusable
  int64_t block_tokens = 0;

  int64_t requests_total = 0, rejected_total = 0, cancelled_total = 0, failed_total = 0;
  int64_t finished_stop_total = 0, finished_length_total = 0;
  int64_t prompt_tokens_total = 0, generation_tokens_total = 0;
  int64_t prefill_tokens_computed_total = 0;
  int64_t prefix_queries_total = 0, prefix_hits_total = 0;  // tokens
  int64_t preemptions_total = 0;
  int64_t draft_tokens_total = 0, draft_accepted_total = 0;

  int64_t steps_total = 0;
  double step_seconds_total = 0;      // in the executor
  double overhead_seconds_total = 0;  // of the engine's thread beside it: schedule, sample
  double flops_total = 0, bytes_read_total = 0, bytes_written_total = 0;  // analytic
  Histogram iteration_tokens, time_to_first_token, inter_token, end_to_end, queue_time,
      prefill_time, decode_time;
  Histogram prompt_length, answer_length;  // tokens of requests that ended
  std::vector<TenantStats> tenants;        // bounded; the rest as "other"

  // Since the engine last made progress (a step done) while it had work; 0 when idle.
  double stalled_seconds = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Any thread. `on_delta` is called until a delta with `last`. Refused at once:
  // InvalidArgument, what the model cannot do (too long, an unknown format, a schema that is too
  // large); ResourceExhausted, the queue's bound, with RetryAfter(status) seconds;
  // Unavailable, the engine is stopping.
  virtual absl::Status Submit(GenerationRequest request, OnDelta on_delta) = 0;
  // Any thread; unknown ids are ignored. Blocks are free before the next step begins; a last delta
  // with kCancelled follows.
  virtual void Cancel(const std::string& id) = 0;

  virtual EngineStats Stats() const = 0;
  // Takes no new requests, finishes what is under way for at most `limit`, then cancels the rest.
  virtual void Drain(Duration limit) = 0;
};

// Seconds that a ResourceExhausted from Submit says to wait, 1 where it says nothing.
double RetryAfterSeconds(const absl::Status& status);

}  // namespace longrun::serving
