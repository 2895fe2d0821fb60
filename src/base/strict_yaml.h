// YAML as configuration should be read: every node knows its line, a key may stand once, anchors
// and aliases are refused (a file of a few lines could unfold to gigabytes), size and depth are
// bounded, and a field that nobody asked for is an error that names it and the nearest field that
// exists.
//
//   LR_ASSIGN_OR_RETURN(YamlNode root, ParseYaml(text, "gpt.yaml"));
//   YamlErrors errors("gpt.yaml");
//   YamlMap map(root, "", &errors);
//   config.layers = map.Int("layers", 6, 1, 1000);       // default, smallest, largest
//   config.name = map.Required("name");
//   map.Done();                                           // complains of fields not asked for
//   if (!errors.ok()) return errors.ToStatus();           // every mistake at once, a line each
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace longrun {

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  int line = 0;                 // from 1
  std::string text;             // of a scalar
  bool quoted = false;          // "1" is text though it looks like a number
  std::vector<YamlNode> items;  // of a sequence
  struct Entry;
  std::vector<Entry> entries;  // of a map, in the file's order
};

struct YamlNode::Entry {
  std::string first;
  YamlNode second;
};

inline constexpr int64_t kYamlSizeLimit = 1 << 20;

// `name`: how messages call the text (a file's path). One document alone.
absl::StatusOr<YamlNode> ParseYaml(std::string_view text, const std::string& name);

// Collects mistakes: "job.yaml:7: spec.ranks: -1 is out of range; 1 to 1000000 is right".
class YamlErrors {
 public:
  explicit YamlErrors(std::string name) : name_(std::move(name)) {}
  void Add(int line, const std::string& field, const std::string& what);
  bool ok() const { return mistakes_.empty(); }
  // InvalidArgument, a line each in the file's order; the first 20 and how many more there are.
  absl::Status ToStatus() const;

 private:
  std::string name_;
  std::vector<std::pair<int, std::string>> mistakes_;  // line, message
};

// Reads the fields of one map. A mistake is added to `errors` and the default returned.
class YamlMap {
 public:
  // A null node is an empty map; any other kind that is no map is a mistake.
  YamlMap(const YamlNode& node, std::string path, YamlErrors* errors);

  bool Has(const std::string& key) const;  // there and not null
  int64_t Int(const std::string& key, int64_t otherwise, int64_t lo, int64_t hi);
  double Double(const std::string& key, double otherwise, double lo, double hi);
  bool Bool(const std::string& key, bool otherwise);
  // Plain words that YAML reads as a number or a truth value are no text: they need quotes.
  std::string String(const std::string& key, const std::string& otherwise);
  std::string Required(const std::string& key);  // text that must be there and not be empty
  // One of `choices`.
  std::string Choice(const std::string& key, const std::string& otherwise,
                     const std::vector<std::string>& choices);
  Duration Time(const std::string& key, Duration otherwise);
  int64_t Bytes(const std::string& key, int64_t otherwise);
  int64_t MilliCpu(const std::string& key, int64_t otherwise);
  std::vector<std::string> Strings(const std::string& key);
  // Text to text: labels, environment. Numbers and booleans are taken as the text they are.
  std::vector<std::pair<std::string, std::string>> StringMap(const std::string& key);
  YamlMap Map(const std::string& key);           // an absent map is an empty one
  const YamlNode* Node(const std::string& key);  // null where absent; counts as asked for

  // A mistake of the caller's own finding, at `key`'s line (or the map's where it is absent).
  void Error(const std::string& key, const std::string& what);
  // Adds a mistake for each field that was not asked for.
  void Done();
  std::string PathOf(const std::string& key) const;
  int line() const;

 private:
  const YamlNode* Find(const std::string& key) const;
  const YamlNode* Scalar(const std::string& key);

  const YamlNode* node_;
  std::string path_;
  YamlErrors* errors_;
  int line_ = 0;
  bool muted_ = false;  // the map itself is a mistake, already told
  std::set<std::string> asked_;
};

}  // namespace longrun
