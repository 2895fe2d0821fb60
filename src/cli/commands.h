// The subcommands: what their flags say, and what each does. A function returns the exit code and
// has printed what there is to say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace longrun::cli {

struct CommonFlags {
  std::string state;  // --state
  bool json = false;
};

struct RunFlags {
  CommonFlags common;
  std::string programs;  // before the programs' names where they are typed: "build/bin/"
  std::string file;
  std::string name;
  bool fresh = false;
  bool detach = false;
  int nodes = 3;
  int accelerators_per_node = 2;
  std::vector<std::string> drills;
};
int Run(const RunFlags& flags);

struct UpFlags {
  CommonFlags common;
  int nodes = 3;
  int accelerators_per_node = 2;
  bool detach = false;
  bool embedded = false;
  bool of_run = false;
  std::string log_level = "info";
};
int Up(const UpFlags& flags);
int Down(const CommonFlags& flags);

int Status(const CommonFlags& flags, const std::string& run);

struct LogsFlags {
  CommonFlags common;
  std::string run;
  bool follow = false;
  int rank = -1;
  int64_t member = -1;
  int64_t incarnation = -1;
  std::string stream = "both";  // out, err, both
};
int Logs(const LogsFlags& flags);

int Cancel(const CommonFlags& flags, const std::string& run, const std::string& reason);

int Why(const CommonFlags& flags, const std::string& run);

struct FaultFlags {
  CommonFlags common;
  std::string kind;
  std::string run;   // empty: the one that is under way
  int rank = -1;     // kill-rank, hang-rank
  std::string node;  // kill-node
};
int Fault(const FaultFlags& flags);

}  // namespace longrun::cli
