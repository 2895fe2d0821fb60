// What a user asked for: the `spec` of a run's manifest, checked and with its defaults filled in.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "fleet/ids.h"

namespace longrun::fleet {

// Of one rank.
struct Resources {
  int accelerators = 1;
  std::string type = "any";
  int64_t cpu_milli = 0;     // 0: not limited
  int64_t memory_bytes = 0;  // 0: not limited

  template <class A>
  void Visit(A& a) {
    a("accelerators", accelerators);
    a("type", type);
    a("cpu_milli", cpu_milli);
    a("memory_bytes", memory_bytes);
  }
  bool operator==(const Resources&) const = default;
};

enum class Priority { kLow, kNormal, kHigh };

struct CheckpointSpec {
  bool automatic = true;    // interval from measured cost and measured failures
  int64_t every_steps = 0;  // where not automatic, one of the two
  Duration every = {};

  template <class A>
  void Visit(A& a) {
    a("automatic", automatic);
    a("every_steps", every_steps);
    a("every", every);
  }
};

struct RunSpec {
  RunId name;
  std::map<std::string, std::string> labels;
  int ranks = 1;        // a gang: all or none
  int elastic_min = 0;  // may go on with as few replicas as this; 0: not elastic
  int spares = 0;       // hot: placed, started, waiting
  Resources resources;
  std::string within;        // topology label that all ranks share the value of (rack, hall, site)
  std::string spares_where;  // "", "other-node", "other-rack", …
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  std::string working_folder;  // where the command starts; the manifest's own folder by default
  std::string image;           // Kubernetes alone
  Priority priority = Priority::kNormal;
  std::vector<SiteId> sites;  // empty: anywhere
  CheckpointSpec checkpoint;
  Duration expected = {};                        // 0: unknown
  int failures_without_progress = 5;             // in a row, then the run fails
  Duration silent_after = Duration::Seconds(3);  // a rank that answers no ping for so long is hung
  Duration hung_after = {};  // no step for so long is a hang; 0: from measured step times
  Duration grace = Duration::Seconds(15);  // from "please stop" to SIGKILL

  template <class A>
  void Visit(A& a) {
    a("name", name);
    a("labels", labels);
    a("ranks", ranks);
    a("elastic_min", elastic_min);
    a("spares", spares);
    a("resources", resources);
    a("within", within);
    a("spares_where", spares_where);
    a("command", command);
    a("env", env);
    a("working_folder", working_folder);
    a("image", image);
    a("priority", priority);
    a("sites", sites);
    a("checkpoint", checkpoint);
    a("expected", expected);
    a("failures_without_progress", failures_without_progress);
    a("silent_after", silent_after);
    a("hung_after", hung_after);
    a("grace", grace);
  }
};

}  // namespace longrun::fleet
