// ParseSweep: SWEEP.yaml to a SweepConfig.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/strict_yaml.h"
#include "base/units.h"
#include "scaling/laws/law.h"
#include "scaling/sweep/design.h"

namespace longrun::scaling {
namespace {

constexpr int64_t kMostRepeats = 100;
constexpr int64_t kMostSize = 1 << 20;

struct LengthField {
  const char* key;
  SweepLength::Kind kind;
};
constexpr LengthField kLengthFields[] = {{"tokens_per_param", SweepLength::Kind::kTokensPerParam},
                                         {"tokens", SweepLength::Kind::kTokens},
                                         {"compute", SweepLength::Kind::kCompute}};

int64_t RequiredInt(YamlMap& map, const std::string& key, int64_t hi) {
  if (!map.Has(key)) map.Error(key, "is missing; a count is right");
  return map.Int(key, 1, 1, hi);
}

SweepShape ReadShape(YamlMap& map) {
  SweepShape shape;
  shape.layers = RequiredInt(map, "layers", 1000);
  shape.heads = RequiredInt(map, "heads", 1000);
  shape.d_model = RequiredInt(map, "d_model", kMostSize);
  if (shape.d_model % shape.heads != 0) {
    map.Error("heads", absl::StrCat(shape.heads, " does not divide d_model, ", shape.d_model));
  }
  return shape;
}

// One amount, or a list of them where `many`.
void ReadAmounts(const YamlNode& node, const std::string& path, bool many, SweepLength::Kind kind,
                 YamlErrors* errors, std::vector<SweepLength>* out) {
  if (node.kind == YamlNode::Kind::kSequence && many) {
    for (size_t i = 0; i < node.items.size(); ++i) {
      ReadAmounts(node.items[i], absl::StrCat(path, "[", i, "]"), false, kind, errors, out);
    }
    if (node.items.empty()) errors->Add(node.line, path, "lists nothing");
    return;
  }
  if (node.kind != YamlNode::Kind::kScalar) {
    errors->Add(node.line, path, many ? "should be an amount or a list of them" : "is no amount");
    return;
  }
  const absl::StatusOr<double> value = ParseQuantity(node.text);
  if (!value.ok()) {
    errors->Add(node.line, path, std::string(value.status().message()));
    return;
  }
  out->push_back({kind, *value});
}

std::vector<SweepLength> ReadLengths(YamlMap& map, bool many, YamlErrors* errors) {
  std::vector<SweepLength> lengths;
  std::vector<std::string> given;
  for (const LengthField& field : kLengthFields) {
    const YamlNode* node = map.Node(field.key);
    if (node == nullptr) continue;
    given.push_back(field.key);
    ReadAmounts(*node, map.PathOf(field.key), many, field.kind, errors, &lengths);
  }
  if (given.empty()) {
    map.Error("tokens_per_param", "is missing; it, tokens or compute says how long runs train");
  } else if (given.size() > 1) {
    map.Error(given[1], absl::StrCat(absl::StrJoin(given, " and "), ": give one of them"));
  }
  return lengths;
}

void ReadData(YamlMap map, SweepConfig* config) {
  config->text = map.Strings("text");
  if (config->text.empty()) map.Error("text", "should list text files, folders or patterns");
  for (const std::string& text : config->text) {
    // Each run reads it from a folder of its own.
    if (text.empty() || text[0] != '/') {
      map.Error("text", absl::StrCat("\"", text, "\" should begin with /"));
    }
  }
  config->vocab_size = map.Int("vocab_size", config->vocab_size, 257, kMostSize);
  config->validation_fraction =
      map.Double("validation_fraction", config->validation_fraction, 0.001, 0.5);
  map.Done();
}

void ReadTraining(YamlMap map, SweepConfig* config) {
  config->context = map.Int("context", config->context, 1, kMostSize);
  config->batch = map.Int("batch", config->batch, 1, kMostSize);
  YamlMap rate = map.Map("learning_rate");
  config->learning_rate.value = rate.Double("value", config->learning_rate.value, 1e-9, 10);
  config->learning_rate.at_width =
      rate.Double("at_width", config->learning_rate.at_width, 1, kMostSize);
  config->learning_rate.exponent = rate.Double("exponent", config->learning_rate.exponent, -3, 3);
  rate.Done();
  config->warmup = map.Double("warmup", config->warmup, 0, 1);
  config->min_lr = map.Double("min_lr", config->min_lr, 0, 1);
  config->weight_decay = map.Double("weight_decay", config->weight_decay, 0, 10);
  config->beta2 = map.Double("beta2", config->beta2, 0, 0.9999999);
  config->evaluate_sequences =
      map.Int("evaluate_sequences", config->evaluate_sequences, 1, 1 << 24);
  config->threads = map.Int("threads", config->threads, 1, 4096);
  map.Done();
}

void ReadLadder(YamlMap map, YamlErrors* errors, SweepConfig* config) {
  const YamlNode* shapes = map.Node("shapes");
  if (shapes == nullptr || shapes->kind != YamlNode::Kind::kSequence || shapes->items.empty()) {
    map.Error("shapes", "should list shapes, for example {layers: 2, heads: 2, d_model: 32}");
  } else {
    for (size_t i = 0; i < shapes->items.size(); ++i) {
      YamlMap shape(shapes->items[i], absl::StrCat(map.PathOf("shapes"), "[", i, "]"), errors);
      config->shapes.push_back(ReadShape(shape));
      shape.Done();
    }
  }
  config->lengths = ReadLengths(map, true, errors);
  config->repeats = map.Int("repeats", config->repeats, 1, kMostRepeats);
  std::vector<SweepLength> budget;
  if (const YamlNode* node = map.Node("budget"); node != nullptr) {
    ReadAmounts(*node, map.PathOf("budget"), false, SweepLength::Kind::kCompute, errors, &budget);
  }
  if (!budget.empty()) config->budget = budget[0].value;
  map.Done();
}

void ReadTarget(YamlMap map, YamlErrors* errors, SweepConfig* config) {
  config->target_shape = ReadShape(map);
  const std::vector<SweepLength> length = ReadLengths(map, false, errors);
  if (!length.empty()) config->target_length = length[0];
  map.Done();
}

void ReadFit(YamlMap map, SweepConfig* config) {
  std::vector<std::string> names;
  for (const Law* law : AllLaws()) {
    const std::vector<Quantity>& reads = law->reads();
    const bool routed = std::find(reads.begin(), reads.end(), Quantity::kExperts) != reads.end();
    if (!routed) names.emplace_back(law->name());
  }
  config->law = map.Choice("law", config->law, names);
  config->huber = map.Double("huber", config->huber, 1e-6, 100);
  map.Done();
}

// A run's name is the sweep's state's: as strict as a run's.
bool IsName(const std::string& name) {
  if (name.empty() || name.size() > 40 || name.front() == '-' || name.back() == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

absl::StatusOr<SweepConfig> ParseSweep(std::string_view text, const std::string& name) {
  LR_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, name));
  YamlErrors errors(name);
  YamlMap map(root, "", &errors);
  SweepConfig config;
  config.name = map.Required("name");
  if (!config.name.empty() && !IsName(config.name)) {
    map.Error("name", absl::StrCat("\"", config.name, "\" should be at most 40 of a to z, 0 to 9 ",
                                   "and -, and begin and end with none of these -"));
  }
  ReadData(map.Map("data"), &config);
  ReadTraining(map.Map("training"), &config);
  ReadLadder(map.Map("ladder"), &errors, &config);
  ReadTarget(map.Map("target"), &errors, &config);
  ReadFit(map.Map("fit"), &config);
  config.seed = map.Int("seed", config.seed, 0, 1'000'000'000);
  config.parallel = map.Int("parallel", config.parallel, 0, 1024);
  map.Done();
  if (!errors.ok()) return errors.ToStatus();
  return config;
}

}  // namespace longrun::scaling
