// Thousands of histories, each from its seed.
//
//   simulation_test                          the seeds of the test run
//   simulation_test --seed=N [--verbose]     one history, in words with --verbose
//   simulation_test --first=N --seeds=N      others
//   … --without=hang,program-2               the same with parts left out
//   … --shrink                               leaves out what the failure does not need
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/time.h"
#include "gtest/gtest.h"
#include "seed_program.h"
#include "simulation/simulation.h"

namespace longrun::simulation {
namespace {

struct Flags : SeedFlags {
  Flags() { seeds = 10'000; }
  bool shrink = false;
  bool hash_only = false;
  std::vector<std::string> without;
} flags;

std::string Command(uint64_t seed, const std::vector<std::string>& without) {
  return absl::StrCat(
      flags.program, " --seed=", seed,
      without.empty() ? "" : absl::StrCat(" --without=", absl::StrJoin(without, ",")),
      " --verbose");
}

void PrepareLastWords(uint64_t seed) { LastWords::Prepare(seed, Command(seed, flags.without)); }

// Whether the seed fails, in a process of its own: it may abort.
bool Fails(uint64_t seed, const std::vector<std::string>& without) {
  fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    for (const int s : {SIGABRT, SIGSEGV}) ::signal(s, SIG_DFL);
    if (freopen("/dev/null", "w", stderr) == nullptr) _exit(2);
    _exit(Simulate(seed, without).violations.empty() ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status != 0;
}

// Leaves out one part after the other for as long as the seed still fails.
std::vector<std::string> Shrink(uint64_t seed, std::vector<std::string> without) {
  bool smaller = true;
  while (smaller) {
    smaller = false;
    for (const std::string& part : PartsOf(DrawScenario(seed, without))) {
      std::vector<std::string> more = without;
      more.push_back(part);
      if (!Fails(seed, more)) continue;
      without = more;
      smaller = true;
    }
  }
  return without;
}

void Print(const std::string& line) { printf("%s\n", line.c_str()); }

int RunOne() {
  PrepareLastWords(flags.first);
  if (flags.shrink) {
    if (!Fails(flags.first, flags.without)) {
      Print("this seed does not fail");
      return 0;
    }
    flags.without = Shrink(flags.first, flags.without);
    Print(absl::StrCat("fails as well: ", Command(flags.first, flags.without)));
    return 1;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const Outcome outcome =
      Simulate(flags.first, flags.without, flags.verbose ? std::function(Print) : nullptr);
  if (flags.hash_only) {
    Print(absl::StrCat(outcome.hash));
    return 0;
  }
  for (const std::string& violation : outcome.violations) Print("VIOLATION " + violation);
  Print(absl::StrCat("seed ", flags.first, ": ", FormatDuration(outcome.virtual_time), ", ",
                     outcome.events, " events, ", outcome.turns, " turns, ", outcome.faults,
                     " faults, ", outcome.controller_deaths, " controllers died, ",
                     outcome.recoveries, " recoveries, ", outcome.runs_succeeded, " of ",
                     outcome.runs, " runs succeeded, hash ", outcome.hash));
  return outcome.violations.empty() ? 0 : 1;
}

TEST(Simulation, EverySeedIsSafeAndComesToItsEnd) {
  Outcome sum;
  int64_t failed = 0;
  const Stopwatch watch;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds; ++seed) {
    PrepareLastWords(seed);
    const Outcome outcome = Simulate(seed, flags.without);
    if (!outcome.violations.empty()) {
      ADD_FAILURE() << "seed " << seed << ": " << absl::StrJoin(outcome.violations, "\n  ")
                    << "\n  to see it again: " << Command(seed, flags.without);
      if (++failed == 20) break;
    }
    sum.events += outcome.events;
    sum.faults += outcome.faults;
    sum.controller_deaths += outcome.controller_deaths;
    sum.recoveries += outcome.recoveries;
    sum.runs += outcome.runs;
    sum.runs_succeeded += outcome.runs_succeeded;
    sum.virtual_time = sum.virtual_time + outcome.virtual_time;
  }
  Print(absl::StrCat(flags.seeds, " seeds in ", FormatDuration(Duration::Seconds(watch.seconds())),
                     ": ", FormatDuration(sum.virtual_time), " of virtual time, ", sum.events,
                     " events, ", sum.faults, " faults, ", sum.controller_deaths,
                     " controllers died, ", sum.recoveries, " recoveries, ", sum.runs_succeeded,
                     " of ", sum.runs, " runs succeeded"));
  // Histories in which nothing happens would prove nothing.
  EXPECT_GT(sum.recoveries, sum.runs / 4);
  EXPECT_GT(sum.runs_succeeded, sum.runs / 4);
}

TEST(Simulation, TheSameSeedGivesTheSameHistory) {
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds;
       seed += flags.seeds / 20 + 1) {
    PrepareLastWords(seed);
    EXPECT_EQ(Simulate(seed).hash, Simulate(seed).hash) << "seed " << seed;
  }
}

// Nothing of a history comes from addresses, the clock or what ran before it.
TEST(Simulation, TheSameSeedGivesTheSameHistoryInAnotherProcess) {
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds; seed += flags.seeds / 5 + 1) {
    PrepareLastWords(seed);
    FILE* pipe = popen(absl::StrCat(flags.program, " --seed=", seed, " --hash").c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    char line[64] = "";
    EXPECT_NE(fgets(line, sizeof line, pipe), nullptr);
    pclose(pipe);
    EXPECT_EQ(absl::StrCat(Simulate(seed).hash, "\n"), line) << "seed " << seed;
  }
}

bool ParseFlags(int argc, char** argv) {
  const auto other = [](const std::string& flag, const std::string& value) {
    if (flag == "--without") {
      flags.without = absl::StrSplit(value, ',');
    } else if (flag == "--shrink") {
      flags.shrink = true;
    } else if (flag == "--hash") {
      flags.hash_only = true;
    } else {
      return false;
    }
    return true;
  };
  return ParseSeedFlags(argc, argv, &flags, "--shrink --without=PARTS --hash", other);
}

}  // namespace
}  // namespace longrun::simulation

int main(int argc, char** argv) {
  using namespace longrun::simulation;
  testing::InitGoogleTest(&argc, argv);
  if (!ParseFlags(argc, argv)) return 2;
  return flags.one ? RunOne() : RUN_ALL_TESTS();
}
