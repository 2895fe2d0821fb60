#include "cli/serving/bench_driver.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/serving/bench_answer.h"

namespace longrun::cli {
namespace {

// How long a client that waits for its time takes to notice that it is over.
constexpr double kNoticeSeconds = 0.05;

}  // namespace

Driver::Driver(DriverConfig config) : config_(std::move(config)) {
  const int64_t clients = std::min(config_.clients, config_.requests);
  running_ = clients;
  for (int64_t i = 0; i < clients; ++i) threads_.emplace_back([this] { BeClient(); });
}

Driver::~Driver() {
  Stop();
  for (std::thread& thread : threads_) thread.join();
}

double Driver::seconds() const {
  const std::lock_guard lock(mutex_);
  return over() ? last_end_ : clock_.seconds();
}

std::vector<RequestOutcome> Driver::Outcomes() const {
  const std::lock_guard lock(mutex_);
  return outcomes_;
}

bool Driver::WaitUntil(double seconds) const {
  while (!stop_) {
    const double left = seconds - clock_.seconds();
    if (left <= 0) return true;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left, kNoticeSeconds)));
  }
  return false;
}

void Driver::BeClient() {
  net::ClientOptions options;
  options.read_seconds = config_.timeout_seconds;
  net::Client client(config_.url, options);
  while (!stop_) {
    const int64_t index = next_++;
    if (index >= config_.requests) break;
    RequestOutcome outcome;
    const bool open_loop = !config_.arrivals.empty();
    outcome.planned = open_loop ? config_.arrivals[static_cast<size_t>(index)] : clock_.seconds();
    if (config_.duration_seconds > 0 && outcome.planned > config_.duration_seconds) break;
    if (open_loop && !WaitUntil(outcome.planned)) break;
    ++under_way_;
    const bool whole = Ask(client, config_.first_index + index, outcome);
    --under_way_;
    if (!whole) break;
    ++ended_;
    const bool again_later = !open_loop && !outcome.error.empty();
    const double end = outcome.end;
    {
      const std::lock_guard lock(mutex_);
      last_end_ = std::max(last_end_, end);
      outcomes_.push_back(std::move(outcome));
    }
    if (again_later && !WaitUntil(end + kAgainSeconds)) break;
  }
  --running_;
}

bool Driver::Ask(net::Client& client, int64_t index, RequestOutcome& outcome) {
  StreamedAnswer answer;
  const absl::StatusOr<net::Response> response =
      client.Stream("POST", config_.load.chat ? "/v1/chat/completions" : "/v1/completions",
                    config_.headers, RequestBody(config_.load, index), [&](std::string_view bytes) {
                      answer.Feed(bytes, clock_.seconds());
                      ++chunks_;
                      return !stop_;
                    });
  if (stop_) return false;
  outcome.end = clock_.seconds();
  if (response.ok()) {
    answer.Finish(response->status, outcome);
  } else {
    outcome.error = absl::IsDeadlineExceeded(response.status()) ? "timed out" : "no whole answer";
    outcome.detail = std::string(response.status().message());
  }
  return true;
}

}  // namespace longrun::cli
