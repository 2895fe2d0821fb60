#include "fleet/manifest.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/strict_yaml.h"
#include "base/units.h"

namespace longrun::fleet {
namespace {

// Beyond these a number is a mistake, not a wish.
constexpr int64_t kMostRanks = 1'000'000;
constexpr int64_t kMostAccelerators = 1024;  // of one rank
constexpr int64_t kMostMilliCpu = 1'000'000;
constexpr int64_t kMostMemoryBytes = int64_t{1} << 50;
constexpr int64_t kMostSteps = 1'000'000'000'000;
constexpr Duration kLongest = Duration::Hours(24 * 365 * 10);
constexpr size_t kMostArguments = 4096;
constexpr size_t kMostTexts = 1024;  // environment, labels

// RFC 1123: what Kubernetes, host names and folders all accept.
bool IsDnsLabel(const std::string& text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

bool IsVariableName(const std::string& text) {
  if (text.empty() || absl::ascii_isdigit(static_cast<unsigned char>(text[0]))) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

bool IsLabelKey(const std::string& text) {
  if (text.empty() || text.size() > 253) return false;
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/';
  });
}

Duration Within(YamlMap& map, const std::string& key, Duration otherwise, Duration lo,
                Duration hi) {
  const Duration value = map.Time(key, otherwise);
  if (value >= lo && value <= hi) return value;
  map.Error(key, absl::StrCat(FormatDuration(value), " is out of range; ", FormatDuration(lo),
                              " to ", FormatDuration(hi), " is right"));
  return otherwise;
}

void ReadHead(YamlMap& root, RunSpec& spec) {
  if (!root.Has("apiVersion")) {
    root.Required("apiVersion");
  } else {
    root.Choice("apiVersion", "", {"longrun.dev/v1"});
  }
  if (!root.Has("kind")) {
    root.Required("kind");
  } else {
    root.Choice("kind", "", {"Run"});
  }
  YamlMap metadata = root.Map("metadata");
  spec.name = RunId(metadata.Required("name"));
  if (!spec.name.empty()) {
    const absl::Status status = CheckRunName(spec.name.text);
    if (!status.ok()) metadata.Error("name", std::string(status.message()));
  }
  for (const auto& [key, value] : metadata.StringMap("labels")) {
    if (!IsLabelKey(key)) {
      metadata.Error("labels", absl::StrCat("\"", key.substr(0, 80), "\" is no label's name; ",
                                            "letters, digits and - _ . / are right"));
    }
    spec.labels[key] = value;
  }
  if (spec.labels.size() > kMostTexts) {
    metadata.Error("labels", absl::StrCat("more than ", kMostTexts, " labels"));
  }
  metadata.Done();
}

void ReadGang(YamlMap& map, RunSpec& spec) {
  spec.ranks = static_cast<int>(map.Int("ranks", 1, 1, kMostRanks));
  YamlMap elastic = map.Map("elastic");
  if (map.Has("elastic")) {
    spec.elastic_min = static_cast<int>(elastic.Int("min", 0, 1, kMostRanks));
    if (!elastic.Has("min")) elastic.Error("min", "is missing; the fewest replicas to go on with");
    if (spec.elastic_min > spec.ranks) {
      elastic.Error("min", absl::StrCat(spec.elastic_min, " is more than the ", spec.ranks,
                                        " of spec.ranks"));
    }
  }
  elastic.Done();
  spec.spares = static_cast<int>(map.Int("spares", 0, 0, kMostRanks));
}

void ReadResources(YamlMap map, Resources& resources) {
  resources.accelerators = static_cast<int>(map.Int("accelerators", 1, 0, kMostAccelerators));
  resources.type = map.String("type", "any");
  resources.cpu_milli = map.MilliCpu("cpu", 0);
  if (resources.cpu_milli > kMostMilliCpu || (map.Has("cpu") && resources.cpu_milli == 0)) {
    map.Error("cpu", absl::StrCat("is out of range; 1m to ", kMostMilliCpu / 1000, " is right"));
  }
  resources.memory_bytes = map.Bytes("memory", 0);
  // A process that may not have a MiB cannot start: most often a forgotten unit ("memory: 512").
  if (map.Has("memory") &&
      (resources.memory_bytes < (1 << 20) || resources.memory_bytes > kMostMemoryBytes)) {
    map.Error("memory",
              absl::StrCat(resources.memory_bytes, " bytes is out of range; 1Mi to 1Pi is right"));
  }
  map.Done();
}

void ReadTopology(YamlMap map, RunSpec& spec) {
  spec.within = map.String("within", "");
  if (!spec.within.empty() && !IsLabelKey(spec.within)) {
    map.Error("within", "is no name of a domain; rack, hall or site, say, is right");
  }
  spec.spares_where = map.String("spares", "");
  const std::string other = "other-";
  if (!spec.spares_where.empty() && (spec.spares_where.rfind(other, 0) != 0 ||
                                     !IsLabelKey(spec.spares_where.substr(other.size())))) {
    map.Error("spares", absl::StrCat("\"", spec.spares_where.substr(0, 40),
                                     "\" is no place for spares; other-node, other-rack, say, is "
                                     "right"));
  }
  map.Done();
}

void ReadCommand(YamlMap& map, RunSpec& spec) {
  spec.command = map.Strings("command");
  if (!map.Has("command")) {
    map.Error("command", "is missing; a list is right, for example [python3, train.py]");
  } else if (const YamlNode* node = map.Node("command");
             node->kind == YamlNode::Kind::kSequence &&
             (node->items.empty() || (!spec.command.empty() && spec.command[0].empty()))) {
    map.Error("command", "is empty; a list is right, for example [python3, train.py]");
  }
  if (spec.command.size() > kMostArguments) {
    map.Error("command", absl::StrCat("more than ", kMostArguments, " arguments"));
  }
  for (const auto& [key, value] : map.StringMap("env")) {
    if (!IsVariableName(key)) {
      map.Error("env", absl::StrCat("\"", key.substr(0, 80), "\" is no name of a variable; ",
                                    "letters, digits and _ are right"));
    }
    spec.env[key] = value;
  }
  if (spec.env.size() > kMostTexts) {
    map.Error("env", absl::StrCat("more than ", kMostTexts, " variables"));
  }
  spec.working_folder = map.String("workingFolder", "");
  spec.image = map.String("image", "");
}

Priority ReadPriority(YamlMap& map) {
  const std::string text = map.Choice("priority", "normal", {"low", "normal", "high"});
  if (text == "low") return Priority::kLow;
  return text == "high" ? Priority::kHigh : Priority::kNormal;
}

void ReadCheckpoint(YamlMap map, CheckpointSpec& checkpoint) {
  const std::string every = map.String("every", "auto");
  map.Done();
  if (every == "auto") return;
  checkpoint.automatic = false;
  std::string number;
  for (const char* unit : {" steps", " step"}) {
    const std::string text = unit;
    if (every.size() > text.size() &&
        every.compare(every.size() - text.size(), text.size(), text) == 0) {
      number = every.substr(0, every.size() - text.size());
      break;
    }
  }
  if (!number.empty() && number.size() < 19 &&
      std::all_of(number.begin(), number.end(), absl::ascii_isdigit)) {
    checkpoint.every_steps = std::stoll(number);
    if (checkpoint.every_steps >= 1 && checkpoint.every_steps <= kMostSteps) return;
    map.Error("every", absl::StrCat("\"", every, "\" is out of range; 1 step or more is right"));
    return;
  }
  const absl::StatusOr<Duration> duration = ParseDuration(every);
  if (!duration.ok()) {
    map.Error("every", absl::StrCat("\"", every.substr(0, 40),
                                    "\" is no interval; auto, 100 steps or 10m, say, is right"));
    return;
  }
  checkpoint.every = *duration;
  if (checkpoint.every < Duration::Millis(100) || checkpoint.every > kLongest) {
    map.Error("every", absl::StrCat("\"", every, "\" is out of range; 100ms to 10 years is right"));
  }
}

void ReadRecovery(YamlMap map, RunSpec& spec) {
  spec.failures_without_progress = static_cast<int>(
      map.Int("failuresWithoutProgress", spec.failures_without_progress, 1, 1'000'000));
  spec.silent_after =
      Within(map, "silentAfter", spec.silent_after, Duration::Millis(100), Duration::Hours(24));
  if (map.Has("hungAfter")) {
    spec.hung_after = Within(map, "hungAfter", Duration::Minutes(5), Duration::Millis(100),
                             Duration::Hours(24 * 7));
  }
  spec.grace = Within(map, "grace", spec.grace, Duration{}, Duration::Hours(24));
  map.Done();
}

void ReadSpec(YamlMap map, RunSpec& spec) {
  ReadGang(map, spec);
  ReadResources(map.Map("resources"), spec.resources);
  ReadTopology(map.Map("topology"), spec);
  ReadCommand(map, spec);
  spec.priority = ReadPriority(map);
  for (const std::string& site : map.Strings("sites")) {
    if (!IsDnsLabel(site)) {
      map.Error("sites", absl::StrCat("\"", site.substr(0, 80), "\" is no name of a site"));
    }
    spec.sites.push_back(SiteId(site));
  }
  ReadCheckpoint(map.Map("checkpoint"), spec.checkpoint);
  YamlMap expect = map.Map("expect");
  if (expect.Has("duration")) {
    spec.expected = Within(expect, "duration", {}, Duration::Millis(1), kLongest);
  } else {
    expect.Time("duration", {});
  }
  expect.Done();
  ReadRecovery(map.Map("recovery"), spec);
  map.Done();
}

}  // namespace

absl::Status CheckRunName(const std::string& name) {
  if (IsDnsLabel(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name.substr(0, 80),
                   "\" is no name of a run; up to 63 of a-z, 0-9 and -, with a letter or digit at "
                   "both ends, is right"));
}

absl::StatusOr<RunSpec> ParseManifest(std::string_view text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const YamlNode node, ParseYaml(text, name));
  YamlErrors errors(name);
  if (node.kind == YamlNode::Kind::kNull) {
    errors.Add(0, "", "holds nothing; a manifest begins with apiVersion: longrun.dev/v1");
    return errors.ToStatus();
  }
  RunSpec spec;
  YamlMap root(node, "", &errors);
  ReadHead(root, spec);
  if (!root.Has("spec") && node.kind == YamlNode::Kind::kMap) {
    root.Error("spec", "is missing; it says what to run");
    root.Node("spec");
  } else {
    ReadSpec(root.Map("spec"), spec);
  }
  root.Done();
  if (!errors.ok()) return errors.ToStatus();
  return spec;
}

}  // namespace longrun::fleet
