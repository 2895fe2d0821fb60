#include "serving/schedule/wait.h"

#include <algorithm>
#include <cmath>

namespace longrun::serving {

void Backlog::Add(const Waiting& more) {
  auto line = std::find_if(waiting.begin(), waiting.end(), [&](const Waiting& w) {
    return w.priority == more.priority && w.tenant == more.tenant;
  });
  if (line == waiting.end()) {
    if (waiting.size() < kMostLines) {
      waiting.push_back(more);
      return;
    }
    --line;
  }
  line->requests += more.requests;
  line->tokens += more.tokens;
  line->places += more.places;
}

int64_t Backlog::requests() const {
  int64_t all = 0;
  for (const Waiting& line : waiting) all += line.requests;
  return all;
}

Waiting AheadOf(const Waiting& newcomer, const Backlog& backlog) {
  Waiting own = newcomer;
  for (const Waiting& line : backlog.waiting) {
    if (line.priority != newcomer.priority || line.tenant != newcomer.tenant) continue;
    own.requests += line.requests;
    own.tokens += line.tokens;
    own.places += line.places;
  }
  Waiting ahead;
  for (const Waiting& line : backlog.waiting) {
    if (line.priority < newcomer.priority) continue;
    const bool turns = line.priority == newcomer.priority && line.tenant != newcomer.tenant;
    ahead.requests += turns ? std::min(line.requests, own.requests) : line.requests;
    ahead.tokens += turns ? std::min(line.tokens, own.tokens) : line.tokens;
    ahead.places += turns ? std::min(line.places, own.places) : line.places;
  }
  return ahead;
}

namespace {

// By slots, and by blocks where each is as long as the mean of those before it and its own: how
// long those are that run says nothing of the next.
int64_t FreePlaces(const Waiting& newcomer, const Waiting& ahead, const Backlog& backlog) {
  const int64_t requests = std::max<int64_t>(1, ahead.requests + newcomer.requests);
  const int64_t tokens = (ahead.tokens + newcomer.tokens) / requests;
  return std::min(backlog.free_slots, backlog.free_blocks / (tokens / backlog.block_tokens + 1));
}

}  // namespace

double PredictedWaitSeconds(const Waiting& newcomer, const Backlog& backlog) {
  const Waiting ahead = AheadOf(newcomer, backlog);
  double seconds = 0;
  if (backlog.prompt_tokens_per_second > 0) {
    seconds = static_cast<double>(backlog.running_tokens + ahead.tokens) /
              backlog.prompt_tokens_per_second;
  }
  const int64_t must_end =
      ahead.places + std::max<int64_t>(1, newcomer.places) - FreePlaces(newcomer, ahead, backlog);
  if (must_end > 0 && backlog.sequences_per_second > 0) {
    seconds = std::max(seconds, static_cast<double>(must_end) / backlog.sequences_per_second);
  }
  return seconds;
}

bool MayWait(const Waiting& newcomer, const Backlog& backlog, int64_t most) {
  int64_t own = 0;
  for (const Waiting& line : backlog.waiting) {
    if (line.tenant == newcomer.tenant) own += line.requests;
  }
  return AheadOf(newcomer, backlog).requests < most && own < most && backlog.requests() < 2 * most;
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
