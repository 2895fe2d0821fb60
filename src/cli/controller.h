// A controller as a process: journal, local engine, control and the socket it is asked over.
#pragma once

#include <string>

#include "base/status.h"
#include "base/time.h"
#include "cli/state_folder.h"

namespace longrun::cli {

struct ControllerOptions {
  StateFolder state;
  int nodes = 3;
  int accelerators_per_node = 2;
  bool embedded = false;  // in the background: says nothing, logs into the state folder
  bool of_run = false;    // of a `longrun run`, which starts it again where it dies; ends with it
  std::string log_level = "info";
};

// Until SIGTERM, SIGINT or a request to shut down; then agents and ranks are ended too. Returns the
// exit code. Must be called while the process has one thread.
int RunController(const ControllerOptions& options);

// A controller as a child of this process.
class ControllerProcess {
 public:
  // One `of_run` ends when this process does, however that ends.
  explicit ControllerProcess(ControllerOptions options) : options_(std::move(options)) {}
  ~ControllerProcess();
  ControllerProcess(const ControllerProcess&) = delete;
  ControllerProcess& operator=(const ControllerProcess&) = delete;

  // Starts it; the caller's thread must live as long as the child is to live. Does not wait.
  absl::Status Start();

  // How it ended ("was killed by signal 9"), once; "" while it lives.
  std::string Ended();
  bool running() const { return pid_ > 0; }
  int pid() const { return pid_; }
  int exit_code() const { return exit_code_; }  // after its end; -1 when killed by a signal
  // What it wrote to standard error: why it could not start.
  std::string Errors() const;
  void Terminate();  // asks it to end
  // Waits for its end up to `patience`, then kills it. True: it ended by itself.
  bool WaitOrKill(Duration patience);

 private:
  ControllerOptions options_;
  int pid_ = -1;
  int exit_code_ = -1;
  int errors_ = -1;  // its standard error, kept open: the folder may be deleted under it
};

}  // namespace longrun::cli
