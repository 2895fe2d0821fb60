// SIGTERM and SIGINT as a wish to stop.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <thread>
#include <utility>

namespace longrun::worker {

// Turns SIGTERM and SIGINT into a wish to stop, on a thread, where anything may be called. A second
// signal ends the program at once. (A handler, not a mask: libraries start threads before main
// does.)
class StopSignals {
 public:
  explicit StopSignals(std::function<void()> stop) {
    if (pipe2(pipe_, O_CLOEXEC) != 0) return;
    struct sigaction action = {};
    action.sa_handler = [](int signal) {
      const auto byte = static_cast<char>(signal);
      if (write(pipe_[1], &byte, 1) < 0) _exit(128 + signal);
    };
    action.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
    std::thread([stop = std::move(stop)] {
      Next();
      stop();
      _exit(128 + Next());
    }).detach();
  }

 private:
  static int Next() {
    char signal = 0;
    while (read(pipe_[0], &signal, 1) < 0) {
    }
    return signal;
  }
  static inline int pipe_[2] = {-1, -1};
};

}  // namespace longrun::worker
