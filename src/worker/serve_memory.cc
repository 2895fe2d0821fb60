#include "worker/serve_memory.h"

#include <algorithm>

#include "net/handler_queue.h"
#include "serving/grammar/constraint.h"
#include "serving/openai/recent_completions.h"
#include "serving/prompt/prompt_encoder.h"

namespace longrun::worker {
namespace {

using namespace serving;  // NOLINT: this file sums its parts

// Large requests leave one thread to short ones (handler_queue.h).
int64_t HandlersBytes(const ProcessMemory& p) {
  const int64_t threads = std::max(1, p.listen.handler_threads);
  const int64_t large = std::max<int64_t>(1, threads - 1);
  const int64_t text = std::min(p.text_bytes, p.limits.prompt_bytes);
  return large * p.limits.HandlingBytes(p.listen.body_bytes, text) +
         (threads - large) * p.limits.HandlingBytes(net::HandlerQueue::kShortBytes, text) +
         threads * PromptEncoder::kMostBytes;
}

}  // namespace

std::vector<MemoryQuestion::Part> PartsOf(const ProcessMemory& p) {
  const auto part = [](const char* name, int64_t bytes) {
    return MemoryQuestion::Part{name, static_cast<double>(bytes)};
  };
  const auto completions =
      static_cast<int64_t>(RecentCompletions::kMost) * RecentCompletions::kBytesOfEach;
  return {part("program", p.program_bytes),
          part("connections", p.listen.ConnectionBytes()),
          part("requests and answers", p.listen.held_bytes),
          part("their handling", HandlersBytes(p)),
          part("JSON formats",
               ConstraintCompiler::kMostBytes + p.threads * ConstraintCompiler::kMostMaskBytes),
          part("queue", p.engine.WaitingBytes() + completions)};
}

}  // namespace longrun::worker
