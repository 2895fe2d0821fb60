// Thousands of histories of the serving engine, each from its seed.
//
//   serving_simulation_test                                  the seeds of the test run
//   serving_simulation_test --seed=N [--contest|--siege|--hostile] [--verbose]   one history
//   serving_simulation_test --first=N --seeds=N              others
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "seed_program.h"
#include "serving_simulation/simulation.h"

namespace longrun::serving_simulation {
namespace {

enum Kind { kAny, kContest, kSiege, kHostile };

struct Flags : SeedFlags {
  Flags() { seeds = 3'000; }
  Kind kind = kAny;
} flags;

std::string Command(uint64_t seed, Kind kind) {
  return absl::StrCat(flags.program, " --seed=", seed, kind == kContest ? " --contest" : "",
                      kind == kSiege ? " --siege" : "", kind == kHostile ? " --hostile" : "",
                      " --verbose");
}

Outcome Play(uint64_t seed, Kind kind, const std::function<void(const std::string&)>& say = {}) {
  LastWords::Prepare(seed, Command(seed, kind));
  return Simulate(kind == kContest   ? DrawContest(seed)
                  : kind == kSiege   ? DrawSiege(seed)
                  : kind == kHostile ? DrawHostile(seed)
                                     : DrawScenario(seed),
                  say);
}

void Print(const std::string& line) { printf("%s\n", line.c_str()); }

bool Report(uint64_t seed, Kind kind, const Outcome& outcome) {
  if (outcome.violations.empty()) return true;
  std::vector<std::string> some = outcome.violations;
  if (some.size() > 5) some.resize(5);
  ADD_FAILURE() << "seed " << seed << ": " << absl::StrJoin(some, "\n  ")
                << "\n  to see it again: " << Command(seed, kind);
  return false;
}

TEST(ServingSimulation, EverySeedGivesEachRequestWhatItWouldHaveAlone) {
  Outcome sum;
  int64_t failed = 0;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds && failed < 10; ++seed) {
    const Outcome outcome = Play(seed, kAny);
    if (!Report(seed, kAny, outcome)) ++failed;
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
    const Outcome outcome = Play(seed, kContest);
    if (!Report(seed, kContest, outcome)) break;
    largest = std::max(largest, outcome.largest_unfairness);
  }
  Print(absl::StrCat("the largest difference in service was ", 100 * largest, " % of the bound"));
  EXPECT_GT(largest, 0);
}

TEST(ServingSimulation, NobodyIsPassedOverForEver) {
  int64_t patient = 0, most_passes = 0;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds / 20 + 1; ++seed) {
    const Outcome outcome = Play(seed, kSiege);
    if (!Report(seed, kSiege, outcome)) break;
    patient += outcome.patient;
    most_passes = std::max(most_passes, outcome.most_passes);
  }
  Print(absl::StrCat(patient, " waited to the end of their patience, and from then on were passed ",
                     "over ", most_passes, " times at the most"));
  EXPECT_GT(patient, static_cast<int64_t>(flags.seeds) / 20);
}

TEST(ServingSimulation, WhoseMasksAreDearWaitsAloneForThem) {
  int64_t idle_steps = 0, finished = 0;
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds / 20 + 1; ++seed) {
    const Outcome outcome = Play(seed, kHostile);
    if (!Report(seed, kHostile, outcome)) break;
    idle_steps += outcome.idle_steps;
    finished += outcome.finished;
  }
  Print(absl::StrCat(finished, " requests finished; in ", idle_steps,
                     " steps all that ran waited for masks"));
  EXPECT_GT(idle_steps, static_cast<int64_t>(flags.seeds) / 20);
  EXPECT_GT(finished, static_cast<int64_t>(flags.seeds));
}

TEST(ServingSimulation, TheSameSeedGivesTheSameHistory) {
  for (uint64_t seed = flags.first; seed < flags.first + flags.seeds;
       seed += flags.seeds / 40 + 1) {
    EXPECT_EQ(Play(seed, kAny).hash, Play(seed, kAny).hash) << "seed " << seed;
  }
}

int RunOne() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const Outcome outcome =
      Play(flags.first, flags.kind,
           flags.verbose ? std::function(Print) : std::function<void(const std::string&)>());
  for (const std::string& violation : outcome.violations) Print("VIOLATION " + violation);
  Print(absl::StrCat("seed ", flags.first, ": ", FormatDuration(outcome.virtual_time), ", ",
                     outcome.steps, " steps, ", outcome.requests, " requests, ",
                     outcome.preemptions, " preemptions, hash ", outcome.hash));
  return outcome.violations.empty() ? 0 : 1;
}

bool ParseFlags(int argc, char** argv) {
  return ParseSeedFlags(argc, argv, &flags, "--contest --siege --hostile",
                        [](const std::string& flag, const std::string& value) {
                          if (flag == "--contest") flags.kind = kContest;
                          if (flag == "--siege") flags.kind = kSiege;
                          if (flag == "--hostile") flags.kind = kHostile;
                          return flag == "--contest" || flag == "--siege" || flag == "--hostile";
                        });
}

}  // namespace
}  // namespace longrun::serving_simulation

int main(int argc, char** argv) {
  using namespace longrun::serving_simulation;
  testing::InitGoogleTest(&argc, argv);
  if (!ParseFlags(argc, argv)) return 2;
  return flags.one ? RunOne() : RUN_ALL_TESTS();
}
