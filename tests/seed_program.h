// What the programs share that play histories, each from its seed: flags that choose the seeds, and
// last words that name the seed in which the program itself came to its end. One thread.
#pragma once

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace longrun {

struct SeedFlags {
  uint64_t first = 1;
  uint64_t seeds = 0;
  bool one = false;  // `first` alone
  bool verbose = false;
  std::string program;
};

// Reads --seed=N, --first=N, --seeds=N and --verbose; others go to `other`, which returns whether
// it knows them. False, having named a wrong flag and those that there are (`others` among them).
inline bool ParseSeedFlags(
    int argc, char** argv, SeedFlags* flags, const char* others,
    const std::function<bool(const std::string& flag, const std::string& value)>& other) {
  flags->program = argv[0];
  for (int i = 1; i < argc; ++i) {
    const std::vector<std::string> parts = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    const std::string& flag = parts[0];
    const std::string value = parts.size() > 1 ? parts[1] : "";
    bool ok = true;
    if (flag == "--seed") {
      flags->one = true;
      ok = absl::SimpleAtoi(value, &flags->first);
    } else if (flag == "--first") {
      ok = absl::SimpleAtoi(value, &flags->first);
    } else if (flag == "--seeds") {
      ok = absl::SimpleAtoi(value, &flags->seeds) && flags->seeds > 0;
    } else if (flag == "--verbose") {
      flags->verbose = true;
    } else {
      ok = other(flag, value);
    }
    if (ok) continue;
    fprintf(stderr, "unknown flag %s; there are --seed=N --first=N --seeds=N --verbose %s\n",
            argv[i], others);
    return false;
  }
  return true;
}

// An invariant of the code under test ends the process: the seed is said all the same. `command`
// plays it again.
class LastWords {
 public:
  static void Prepare(uint64_t seed, const std::string& command) {
    const std::string words =
        absl::StrCat("\nseed ", seed, " ended the program; to see it again:\n  ", command, "\n");
    snprintf(words_, sizeof words_, "%s", words.c_str());
    for (const int s : {SIGABRT, SIGSEGV}) ::signal(s, Say);
  }

 private:
  static void Say(int signal) {
    const ssize_t n = write(STDERR_FILENO, words_, strlen(words_));
    (void)n;
    ::signal(signal, SIG_DFL);
    raise(signal);
  }
  static inline char words_[1024];
};

}  // namespace longrun
