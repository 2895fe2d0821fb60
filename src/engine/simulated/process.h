// One process of the simulated world, as it truly is: what Longrun believes of it is another
// matter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/simulated/world_config.h"
#include "fleet/desired.h"

namespace longrun::engine {

struct Process {
  enum class Stage {
    kLoading,    // from exec on
    kIdle,       // said hello; waits for a membership
    kInGroup,    // builds a group, or works in it
    kFinishing,  // its work is complete and said to be
    kGone,
  };

  int64_t pid = 0;
  fleet::RunId run;
  fleet::MemberId member = 0;
  int node = 0;            // index among the world's nodes
  uint64_t session = 0;    // of the agent that started it
  std::vector<int> slots;  // accelerators it uses
  const Program* program = nullptr;
  Duration silent_after;
  Duration grace;
  uint64_t env_incarnation = 0;
  int env_rank = -1;
  int env_world = 0;

  Stage stage = Stage::kLoading;
  bool ready = false;   // has said hello
  uint64_t heard = 0;   // newest incarnation it knows of
  uint64_t group = 0;   // incarnation of the group it is in; 0: none
  int64_t applied = 0;  // last optimizer step
  bool has_state = false;
  bool hung = false;    // stopped: answers nothing
  bool wedged = false;  // its main thread stands still; pings are answered
  bool stopping = false;
  bool silence_told = false;
  bool ends_itself = false;  // this one, of a program that may
  // What could not be done while it was hung.
  bool loaded_while_hung = false;
  bool part_due = false;
  bool notice_due = false;
  fleet::DesiredMembership unheard;

  bool alive() const { return stage != Stage::kGone; }
  bool moves() const { return alive() && !hung && !wedged; }
  std::string Name() const { return run.text + "/" + std::to_string(member); }
  std::string endpoint() const {
    return "10.0.0." + std::to_string(node) + ":" + std::to_string(pid);
  }
};

}  // namespace longrun::engine
