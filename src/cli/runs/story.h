// What just happened to a run, a line each, from the differences between its views. So it needs no
// stream of events and misses nothing when the controller was away for a while.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proto/api.pb.h"

namespace longrun::cli {

class Story {
 public:
  // The lines that the view adds to those before it.
  std::vector<std::string> Update(const api::v1::RunView& view);

 private:
  void TellTrouble(const api::v1::RunView& view, std::vector<std::string>& lines);
  void TellPhase(const api::v1::RunView& view, std::vector<std::string>& lines);
  void TellRecoveries(const api::v1::RunView& view, std::vector<std::string>& lines);
  void TellSaid(const api::v1::RunView& view, std::vector<std::string>& lines);

  bool first_ = true;
  std::string phase_;
  std::string waited_for_;
  bool troubled_ = false;
  bool has_started_ = false;
  bool has_run_ = false;
  std::map<int64_t, bool> recoveries_;  // time of the fault → told to be over
  std::vector<std::string> said_;
};

// "a spare took over", for a rung's name.
std::string RungInWords(const std::string& rung);
// "0.18 s".
std::string Seconds(double seconds);
// "1 step", "2 steps".
std::string Counted(int64_t n, const std::string& noun);

}  // namespace longrun::cli
