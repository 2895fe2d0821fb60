// How long a gang stands still when a rank is killed, on the worker's side alone: kill -9 and the
// next membership at once; then until all ranks of the new incarnation have committed a step.
//
//   worker_recovery_bench [kills] [ranks]       $LONGRUN_BIN names the folder of the programs
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/random.h"
#include "base/time.h"
#include "training/test_fleet.h"

int main(int argc, char** argv) {
  using longrun::training::TestFleet;
  const int kills = argc > 1 ? atoi(argv[1]) : 20;
  const int ranks = argc > 2 ? atoi(argv[2]) : 4;
  const char* bin = getenv("LONGRUN_BIN");
  if (bin == nullptr) {
    fprintf(stderr, "LONGRUN_BIN should name the folder of the programs\n");
    return 2;
  }
  char folder[] = "/tmp/recovery_bench.XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  longrun::Random random(1);
  std::string text;
  for (int i = 0; i < 60000; ++i) {
    text += "abcdefghijklmnopqrstuvwxyz    "[random.Below(30)];
    if (i % 1000 == 999) text += "\n%\n";
  }
  if (!longrun::WriteFileAtomically(std::string(folder) + "/text", text).ok()) return 1;
  // Three million parameters: nine million floats of state with AdamW's.
  const std::string config =
      "model: {layers: 4, heads: 4, d_model: 240, context: 64}\n"
      "data: {text: [" +
      std::string(folder) +
      "/text], vocab_size: 512}\n"
      "batch: 8\nsteps: 1000000\nevaluate_every: 0\n"
      "checkpoint: {every: 100000000}\n";
  std::vector<double> seconds;
  {
    TestFleet fleet(std::string(bin) + "/longrun-worker", folder, config);
    std::vector<int64_t> gang;
    for (int r = 0; r < ranks; ++r) gang.push_back(fleet.Start());
    int64_t spare = fleet.Start();
    fleet.SetGang(gang);
    fleet.WaitCommitted(5);
    for (int k = 0; k < kills; ++k) {
      fleet.WaitHello(spare);
      fleet.WaitCommitted(fleet.member(gang[0]).step + 5);
      const auto place = static_cast<size_t>(random.Below(static_cast<uint64_t>(ranks)));
      fleet.Signal(gang[place], SIGKILL);
      gang[place] = spare;
      const longrun::Stopwatch watch;
      fleet.SetGang(gang);
      const int64_t at = fleet.member(gang[place == 0 ? 1 : 0]).step;
      if (!fleet.WaitCommitted(at + 1)) {
        fprintf(stderr, "no step after kill %d\n", k + 1);
        return 1;
      }
      seconds.push_back(fleet.first_commit_seconds());
      printf("kill %2d of rank %zu: %.0f ms\n", k + 1, place, seconds.back() * 1e3);
      fflush(stdout);
      spare = fleet.Start();
    }
  }
  std::sort(seconds.begin(), seconds.end());
  printf("median %.0f ms, worst %.0f ms over %d kills\n", seconds[seconds.size() / 2] * 1e3,
         seconds.back() * 1e3, kills);
  printf("the workers' logs: %s\n", folder);
}
