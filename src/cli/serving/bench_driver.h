// Puts a load on a server: clients, a thread and a kept connection each, that take requests in
// turn. Any thread may ask how far it is.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "cli/serving/bench_load.h"
#include "cli/serving/bench_report.h"
#include "net/http_client.h"

namespace longrun::cli {

struct DriverConfig {
  net::Url url;
  net::Headers headers;
  LoadConfig load;
  int64_t clients = 1;
  int64_t requests = 100;
  double duration_seconds = 0;   // above 0: none begins later
  std::vector<double> arrivals;  // open loop: when each begins; empty: as clients are free
  int64_t first_index = 0;       // of the load's requests
  double timeout_seconds = 600;  // without a byte
};

class Driver {
 public:
  // A client whose request failed does not ask again before so long: a server that has gone would
  // make as many failures as there is time for. Arrivals that are given keep their times.
  static constexpr double kAgainSeconds = 0.1;

  explicit Driver(DriverConfig config);
  ~Driver();  // stops, and waits for the clients

  bool over() const { return running_ == 0; }
  // No request begins any more; those under way are given up at their next byte.
  void Stop() { stop_ = true; }
  // Begun requests that have ended, and the seconds they took; `under_way` are not among them.
  std::vector<RequestOutcome> Outcomes() const;
  double seconds() const;
  int64_t ended() const { return ended_; }
  int64_t under_way() const { return under_way_; }
  int64_t chunks() const { return chunks_; }

 private:
  void BeClient();
  // False: it was given up.
  bool Ask(net::Client& client, int64_t index, RequestOutcome& outcome);
  bool WaitUntil(double seconds) const;

  const DriverConfig config_;
  const Stopwatch clock_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> next_{0}, running_{0}, ended_{0}, under_way_{0}, chunks_{0};
  mutable std::mutex mutex_;  // guards those below
  std::vector<RequestOutcome> outcomes_;
  double last_end_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace longrun::cli
