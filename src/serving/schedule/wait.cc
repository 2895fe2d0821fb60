#include "serving/schedule/wait.h"

#include <algorithm>
#include <cmath>

namespace longrun::serving {

namespace {

// By slots, and by blocks where each is as long as the mean of those that wait: how long those are
// that run says nothing of the next.
int64_t FreePlaces(const Backlog& backlog) {
  const int64_t tokens = backlog.waiting == 0 ? 1 : backlog.waiting_tokens / backlog.waiting;
  const int64_t blocks = std::max<int64_t>(1, tokens / backlog.block_tokens + 1);
  return std::min(backlog.free_slots, backlog.free_blocks / blocks);
}

}  // namespace

double PredictedWaitSeconds(const Backlog& backlog) {
  double seconds = 0;
  if (backlog.prompt_tokens_per_second > 0) {
    seconds = static_cast<double>(backlog.running_tokens + backlog.waiting_tokens) /
              backlog.prompt_tokens_per_second;
  }
  const int64_t must_end = backlog.waiting_places + 1 - FreePlaces(backlog);
  if (must_end > 0 && backlog.sequences_per_second > 0) {
    seconds = std::max(seconds, static_cast<double>(must_end) / backlog.sequences_per_second);
  }
  return seconds;
}

void Rate::Add(double amount, double seconds) {
  const double kept = std::exp(-seconds / memory_seconds_);
  amount_ = amount_ * kept + amount;
  seconds_ = seconds_ * kept + seconds;
}

bool SwapIsCheaper(double bytes, double bytes_per_second, double tokens, double seconds_per_token) {
  if (bytes_per_second <= 0 || seconds_per_token <= 0) return false;
  return 2 * bytes / bytes_per_second < tokens * seconds_per_token;
}

}  // namespace longrun::serving
