#include "agent/options.h"

#include <functional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/units.h"

namespace longrun::agent {
namespace {

using Setter = std::function<absl::Status(const std::string&)>;

Setter Text(std::string* out) {
  return [out](const std::string& value) {
    *out = value;
    return value.empty() ? absl::InvalidArgumentError("must not be empty") : absl::OkStatus();
  };
}

template <class T>
Setter Number(T* out, int64_t least, int64_t most) {
  return [=](const std::string& value) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(value, &number) || number < least || number > most) {
      return absl::InvalidArgumentError(
          absl::StrCat("must be a whole number from ", least, " to ", most));
    }
    *out = static_cast<T>(number);
    return absl::OkStatus();
  };
}

Setter Label(std::map<std::string, std::string>* out) {
  return [out](const std::string& value) {
    const size_t equals = value.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError("must be KEY=VALUE");
    }
    (*out)[value.substr(0, equals)] = value.substr(equals + 1);
    return absl::OkStatus();
  };
}

Setter Span(Duration* out) {
  return [out](const std::string& value) {
    LR_ASSIGN_OR_RETURN(*out, ParseDuration(value));
    return absl::OkStatus();
  };
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& flags) {
  Options options;
  constexpr int64_t kMost = int64_t{1} << 60;
  const std::map<std::string, Setter> setters = {
      {"--node", Text(&options.node)},
      {"--control", Text(&options.control)},
      {"--state", Text(&options.state_folder)},
      {"--runs", Text(&options.runs_folder)},
      {"--site", Text(&options.site)},
      {"--address", Text(&options.address)},
      {"--type", Text(&options.type)},
      {"--label", Label(&options.labels)},
      {"--accelerators", Number(&options.accelerators, 0, 1'000'000)},
      {"--cpu-milli", Number(&options.cpu_milli, 0, kMost)},
      {"--memory-bytes", Number(&options.memory_bytes, 0, kMost)},
      {"--orphan-after", Span(&options.orphan_after)},
      {"--log-file-bytes", Number(&options.log_file_bytes, 1024, kMost)},
      {"--log-level", Text(&options.log_level)},
  };
  for (size_t i = 0; i < flags.size(); ++i) {
    std::string name = flags[i], value;
    const size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < flags.size()) {
      value = flags[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(name, ": needs a value"));
    }
    const auto setter = setters.find(name);
    if (setter == setters.end()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": no such flag of the agent"));
    }
    const absl::Status status = setter->second(value);
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": ", status.message()));
    }
  }
  for (const auto& [name, value] : {std::pair{"--node", &options.node},
                                    {"--control", &options.control},
                                    {"--state", &options.state_folder},
                                    {"--runs", &options.runs_folder}}) {
    if (value->empty()) return absl::InvalidArgumentError(absl::StrCat(name, " is missing"));
  }
  return options;
}

const char* OptionsHelp() {
  return "longrun agent: the agent of one node; normally started by an engine\n"
         "  --node NAME             the node's name\n"
         "  --control ADDRESS       where control listens: unix:/path or host:port\n"
         "  --state DIR             the node's own folder: log, socket, records of processes\n"
         "  --runs DIR              DIR/<run> is the folder the run's ranks share\n"
         "  --accelerators N        how many the node has (1)\n"
         "  --type T                their type (cpu)\n"
         "  --site S                the site the node belongs to (local)\n"
         "  --address HOST          that peers reach the node's ranks under (127.0.0.1)\n"
         "  --label KEY=VALUE       rack, hall, …; may be repeated\n"
         "  --cpu-milli N           CPU to offer, in thousandths (what the machine has)\n"
         "  --memory-bytes N        memory to offer (what the machine has)\n"
         "  --orphan-after SPAN     without a controller for so long, end the ranks and exit "
         "(10m)\n"
         "  --log-file-bytes N      size of a rank's log file before it is rotated (16777216)\n"
         "  --log-level L           trace, debug, info, warning, error, off (info)\n";
}

}  // namespace longrun::agent
