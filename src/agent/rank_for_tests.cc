// A rank that trains nothing: what agents and engines are tested with.
//
//   rank_for_tests speak             joins what it is told to, says "spare" where it has no rank;
//   ends
//                                    with code 0 on stop or SIGTERM
//   rank_for_tests commit N MICROS   joins, then commits N steps, one each MICROS; then as `speak`
//   rank_for_tests hello-exit N      joins, commits N steps at once, says "bye" and exits with code
//   0
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "longrun/rank.h"

namespace {

volatile sig_atomic_t told_to_stop = 0;

}  // namespace

int main(int argc, char** argv) {
  signal(SIGTERM, [](int) { told_to_stop = 1; });
  const std::string what = argc > 1 ? argv[1] : "speak";
  const int64_t steps = argc > 2 ? std::atoll(argv[2]) : 0;
  const int64_t pause_us = argc > 3 ? std::atoll(argv[3]) : 0;
  auto rank = longrun::Rank::Connect("127.0.0.1:" + std::to_string(getpid()), 0);
  if (rank == nullptr) return 3;
  longrun::RankMembership m;
  int64_t seen = 0, step = 0;
  while (!told_to_stop) {
    if (!rank->WaitMembership(seen, std::chrono::milliseconds(20), &m)) {
      if (rank->stop_requested()) break;
      continue;
    }
    seen = m.incarnation;
    if (m.rank < 0) {
      rank->Say("spare");
      continue;
    }
    rank->Joined(m.incarnation, step, "start", 0.01);
    while (step < steps && !told_to_stop) {
      ++step;
      rank->Commit(m.incarnation, step, 1.0 / static_cast<double>(step), 10, 0.001);
      std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    }
    if (what == "hello-exit") {
      rank->Say("bye");
      return 0;
    }
  }
  return 0;
}
