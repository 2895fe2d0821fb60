// Thousands of histories of the serving engine, each from its seed.
//
//   serving_simulation_test                                  the seeds of the test run
//   serving_simulation_test --seed=N [--contest] [--verbose]   one history
//   serving_simulation_test --first=N --seeds=N              others
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "serving_simulation/simulation.h"

namespace longrun::serving_simulation {
namespace {

struct Flags {
  uint64_t first = 1;
  uint64_t seeds = 3'000;
  bool one = false, contest = false, verbose = false;
  std::string program;
} flags;

std::string Command(uint64_t seed, bool contest) {
  return absl::StrCat(flags.program, " --seed=", seed, contest ? " --contest" : "", " --verbose");
}

// An invariant of the code under test ends the process: the seed is said all the same.
char last_words[512];
void SayLastWords(int signal) {
  const ssize_t n = write(STDERR_FILENO, last_words, strlen(last_words));
  (void)n;
  ::signal(signal, SIG_DFL);
  raise(signal);
}

Outcome Play(uint64_t seed, bool contest, const std::function<void(const std::string&)>& say = {}) {
  snprintf(last_words, sizeof last_words, "\nseed %llu ended the program; to see it again:\n  %s\n",
           static_cast<unsigned long long>(seed), Command(seed, contest).c_str());
  return Simulate(contest ? DrawContest(seed) : DrawScenario(seed), say);
}

void Print(const std::string& line) { printf("%s\n", line.c_str()); }

bool Report(uint64_t seed, bool contest, const Outcome& outcome) {
  if (outcome.violations.empty()) return true;
  std::vector<std::string> some = outcome.violations;
  if (some.size() > 5) some.resize(5);
  ADD_FAILURE() << "seed " << seed << ": " << absl::StrJoin(some, "\n  ")
                << "\n  to see it again: " << Command(seed, contest);
  return false;
}

TEST(ServingSimulation, EverySeedGivesEachRequestWhatItWouldHaveAlone) {
  Outcome sum;
  int64_t failed = 0;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds && failed < 10; ++seed) {
    const Outcome outcome = Play(seed, false);
    if (!Report(seed, false, outcome)) ++failed;
    sum.requests += outcome.requests;
    sum.rejected += outcome.rejected;
    sum.cancelled += outcome.cancelled;
    sum.failed += outcome.failed;
    sum.finished += outcome.finished;
    sum.steps += outcome.steps;
    sum.preemptions += outcome.preemptions;
    sum.swapped_in += outcome.swapped_in;
    sum.hits += outcome.hits;
    sum.copies += outcome.copies;
    sum.drafts_accepted += outcome.drafts_accepted;
    sum.virtual_time = sum.virtual_time + outcome.virtual_time;
  }
  Print(absl::StrCat(flags.seeds, " seeds: ", FormatDuration(sum.virtual_time),
                     " of virtual time, ", sum.steps, " steps, ", sum.requests, " requests (",
                     sum.finished, " finished, ", sum.cancelled, " cancelled, ", sum.failed,
                     " failed), ", sum.rejected, " refused, ", sum.preemptions, " preemptions, ",
                     sum.swapped_in, " swapped back, ", sum.hits, " tokens from the cache, ",
                     sum.copies, " copies on write, ", sum.drafts_accepted, " drafts accepted"));
  // Histories in which nothing happens would prove nothing.
  const int64_t seeds = static_cast<int64_t>(flags.seeds);
  EXPECT_GT(sum.finished, 5 * seeds);
  EXPECT_GT(sum.preemptions, seeds / 4);
  EXPECT_GT(sum.hits, seeds);
  EXPECT_GT(sum.swapped_in, seeds / 20);
  EXPECT_GT(sum.copies, seeds / 4);
  EXPECT_GT(sum.drafts_accepted, seeds / 4);
  EXPECT_GT(sum.cancelled, seeds / 4);
  EXPECT_GT(sum.failed, seeds / 20);
  EXPECT_GT(sum.rejected, seeds / 20);
}

TEST(ServingSimulation, TenantsThatWaitAreServedAlike) {
  double largest = 0;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds / 50 + 1; ++seed) {
    const Outcome outcome = Play(seed, true);
    if (!Report(seed, true, outcome)) break;
    largest = std::max(largest, outcome.largest_unfairness);
  }
  Print(absl::StrCat("the largest difference in service was ", 100 * largest, " % of the bound"));
  EXPECT_GT(largest, 0);
}

TEST(ServingSimulation, TheSameSeedGivesTheSameHistory) {
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds;
       seed += flags.seeds / 40 + 1) {
    EXPECT_EQ(Play(seed, false).hash, Play(seed, false).hash) << "seed " << seed;
  }
}

int RunOne() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const Outcome outcome =
      Play(flags.first, flags.contest,
           flags.verbose ? std::function(Print) : std::function<void(const std::string&)>());
  for (const std::string& violation : outcome.violations) Print("VIOLATION " + violation);
  Print(absl::StrCat("seed ", flags.first, ": ", FormatDuration(outcome.virtual_time), ", ",
                     outcome.steps, " steps, ", outcome.requests, " requests, ",
                     outcome.preemptions, " preemptions, hash ", outcome.hash));
  return outcome.violations.empty() ? 0 : 1;
}

bool ParseFlags(int argc, char** argv) {
  flags.program = argv[0];
  for (int i = 1; i < argc; ++i) {
    const std::vector<std::string> parts = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    const std::string value = parts.size() > 1 ? parts[1] : "";
    bool ok = true;
    if (parts[0] == "--seed") {
      flags.one = true;
      ok = absl::SimpleAtoi(value, &flags.first);
    } else if (parts[0] == "--first") {
      ok = absl::SimpleAtoi(value, &flags.first);
    } else if (parts[0] == "--seeds") {
      ok = absl::SimpleAtoi(value, &flags.seeds) && flags.seeds > 0;
    } else if (parts[0] == "--contest") {
      flags.contest = true;
    } else if (parts[0] == "--verbose") {
      flags.verbose = true;
    } else {
      ok = false;
    }
    if (ok) continue;
    fprintf(stderr, "unknown flag %s; there are --seed=N --first=N --seeds=N --contest --verbose\n",
            argv[i]);
    return false;
  }
  return true;
}

}  // namespace
}  // namespace longrun::serving_simulation

int main(int argc, char** argv) {
  using namespace longrun::serving_simulation;
  testing::InitGoogleTest(&argc, argv);
  if (!ParseFlags(argc, argv)) return 2;
  for (const int s : {SIGABRT, SIGSEGV}) ::signal(s, SayLastWords);
  return flags.one ? RunOne() : RUN_ALL_TESTS();
}
