// A Control on its own thread, for programs that serve others meanwhile: requests from any thread,
// answered when they are durable; the state to read; the journal's events to follow.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/control.h"

namespace longrun::control {

class Service {
 public:
  Service(Journal* journal, engine::Engine* engine, Config config);
  ~Service();  // stops

  // Opens the journal and starts the thread.
  absl::Status Start(const fleet::ControllerStarted& started);
  void Stop();

  // The error that ended the thread (the journal's disk is full, say); OK while it runs.
  absl::Status health() const;

  // Any thread. Durable when they return OK. `Submit` may change the name to one that is free when
  // `unique_name` is set ("first-run" → "first-run-2").
  absl::StatusOr<fleet::RunId> Submit(fleet::RunSpec spec, std::string manifest, bool unique_name);
  absl::Status Cancel(const fleet::RunId& run, const std::string& reason);
  // Puts the fault in on purpose: journaled first, then done. `rank` for kill-rank and hang-rank (a
  // spare's number is counted from the gang's size on), `node` for kill-node.
  absl::Status Inject(const std::string& kind, const fleet::RunId& run, int rank,
                      const fleet::NodeId& node);

  // Calls `read` with the state, which does not change meanwhile. Keep it short: the loop waits.
  void Read(const std::function<void(const fleet::State&)>& read) const;

  // Events that changed the state with seq > `after`, oldest first, waiting up to `patience` for a
  // first one. The newest 20,000 are kept in memory; older ones are in the journal.
  using Numbered = Control::Folded;
  std::vector<Numbered> EventsAfter(uint64_t after, Duration patience) const;

 private:
  void Run();
  absl::Status Request(fleet::EventBody body);

  Journal* journal_;
  engine::Engine* engine_;
  Config config_;
  mutable std::mutex mutex_;  // guards all below
  mutable std::condition_variable changed_;
  std::unique_ptr<Control> control_;
  struct Waiting {
    fleet::EventBody body;
    std::promise<absl::Status> done;
  };
  std::deque<Waiting> requests_;
  std::deque<Numbered> events_;
  absl::Status health_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace longrun::control
