#include "serving/grammar/schema.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/strict_json.h"
#include "serving/grammar/json_rules.h"
#include "serving/grammar/pattern.h"
#include "serving/grammar/schema_merge.h"

namespace longrun::serving {
namespace {

constexpr size_t kMostBytes = 64 << 10;
constexpr int kMostParts = 10'000;
// What may come at once is bounded when a text is read (machine.h).
constexpr size_t kMostAlternatives = 100;
constexpr int64_t kMostCount = 100'000;
constexpr double kLargestBound = 999'999'999'999'999'999.0;

const std::set<std::string>& Keywords() {
  static const std::set<std::string> read = {"$ref",
                                             "additionalProperties",
                                             "allOf",
                                             "anyOf",
                                             "const",
                                             "enum",
                                             "exclusiveMaximum",
                                             "exclusiveMinimum",
                                             "format",
                                             "items",
                                             "maxItems",
                                             "maxLength",
                                             "maximum",
                                             "minItems",
                                             "minLength",
                                             "minimum",
                                             "oneOf",
                                             "pattern",
                                             "prefixItems",
                                             "properties",
                                             "required",
                                             "type"};
  return read;
}

// RFC 3339 and 4122; days that are in the month, leap years included.
const std::map<std::string, std::string>& Formats() {
  static const std::string date =
      R"((\d{4}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30))"
      R"(|(0[13578]|1[02])-31)|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00))"
      R"(-02-29))";
  static const std::string time =
      R"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))";
  static const std::map<std::string, std::string> formats = {
      {"date", "^" + date + "$"},
      {"time", "^" + time + "$"},
      {"date-time", "^" + date + "T" + time + "$"},
      {"uuid", "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}};
  return formats;
}

template <class... T>
absl::Status Refuse(const std::string& where, fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", where, fmt::format(format, std::forward<T>(values)...)));
}

std::string Beneath(const std::string& where, const std::string& name) {
  std::string escaped;  // RFC 6901
  for (const char c : name) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped += c;
    }
  }
  return where + "/" + escaped;
}

bool HasType(const Schema& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "number") return value.is_number();
  return value.is_number_integer() ||
         (value.is_number() && value.get<double>() == std::floor(value.get<double>()));
}

class Compiler {
 public:
  explicit Compiler(const Schema& root) : merger_(root), json_(&builder_) {}

  absl::StatusOr<Grammar> Compile() {
    const RuleId root = RuleOf("#");
    while (!pending_.empty()) {
      const auto [ref, rule] = pending_.back();
      pending_.pop_back();
      LR_ASSIGN_OR_RETURN(const Schema* target, merger_.Resolve(ref, ref));
      current_ = rule.id;
      LR_RETURN_IF_ERROR(Value(*target, ref, rule.start, rule.end, true));
    }
    LR_RETURN_IF_ERROR(CheckLoops());
    absl::StatusOr<Grammar> grammar = std::move(builder_).Build(root);
    if (!grammar.ok()) return Refuse("#", "{}", std::string(grammar.status().message()));
    return grammar;
  }

 private:
  RuleId RuleOf(const std::string& ref) {
    const auto [it, is_new] = rules_.try_emplace(ref);
    if (is_new) {
      const auto rule = builder_.NewRule();
      it->second = rule.id;
      pending_.emplace_back(ref, rule);
    }
    return it->second;
  }

  // A rule that comes to itself before any byte would be read for ever.
  absl::Status CheckLoops() const {
    for (const auto& [ref, rule] : rules_) {
      std::set<RuleId> met;
      std::vector<RuleId> todo = {rule};
      while (!todo.empty()) {
        const auto it = heads_.find(todo.back());
        todo.pop_back();
        if (it == heads_.end()) continue;
        for (const RuleId next : it->second) {
          if (next == rule) return Refuse(ref, "refers to itself without anything between");
          if (met.insert(next).second) todo.push_back(next);
        }
      }
    }
    return absl::OkStatus();
  }

  // `head`: nothing of the rule has been written before it.
  absl::Status Value(const Schema& unflattened, const std::string& where, StateId from, StateId to,
                     bool head) {
    if (++parts_ > kMostParts) return Refuse(where, "more than {} parts", kMostParts);
    if (builder_.full()) return absl::OkStatus();  // Build says so
    LR_ASSIGN_OR_RETURN(const Schema schema, merger_.Flatten(unflattened, where));
    if (schema == true) {
      json_.AnyValue(from, to);
      return absl::OkStatus();
    }
    if (schema == false) return absl::OkStatus();
    if (!schema.is_object()) return Refuse(where, "a schema is an object, true or false");
    for (const auto& [keyword, value] : schema.items()) {
      if (!Keywords().contains(keyword) && !IsAnnotation(keyword)) {
        return Refuse(Beneath(where, keyword), "{} is not supported", keyword);
      }
    }
    if (schema.contains("$ref")) {
      const auto ref = schema["$ref"].get<std::string>();
      LR_RETURN_IF_ERROR(merger_.Resolve(ref, where).status());
      const RuleId rule = RuleOf(ref);
      if (head) heads_[current_].insert(rule);
      builder_.Call(from, rule, to);
      return absl::OkStatus();
    }
    if (schema.contains("anyOf")) return Any(schema, "anyOf", where, from, to, head);
    if (schema.contains("oneOf")) return Any(schema, "oneOf", where, from, to, head);
    if (schema.contains("enum") || schema.contains("const")) {
      return Enum(schema, where, from, to);
    }
    LR_ASSIGN_OR_RETURN(const auto types, Types(schema, where));
    for (const std::string& type : types) {
      LR_RETURN_IF_ERROR(Type(type, schema, where, from, to));
    }
    return absl::OkStatus();
  }

  absl::Status Any(const Schema& schema, const std::string& keyword, const std::string& where,
                   StateId from, StateId to, bool head) {
    const std::string beneath = Beneath(where, keyword);
    const Schema& alternatives = schema[keyword];
    if (!alternatives.is_array() || alternatives.empty()) {
      return Refuse(beneath, "a list of schemas is right");
    }
    if (alternatives.size() > kMostAlternatives) {
      return Refuse(beneath, "more than {} alternatives", kMostAlternatives);
    }
    Schema beside = Schema::object();
    for (const auto& [name, value] : schema.items()) {
      if (name != keyword && !IsAnnotation(name)) beside[name] = value;
    }
    for (size_t i = 0; i < alternatives.size(); ++i) {
      const std::string at = fmt::format("{}/{}", beneath, i);
      if (beside.empty()) {
        LR_RETURN_IF_ERROR(Value(alternatives[i], at, from, to, head));
      } else {
        LR_ASSIGN_OR_RETURN(const Schema both, merger_.Merge(beside, alternatives[i], at));
        LR_RETURN_IF_ERROR(Value(both, at, from, to, head));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Enum(const Schema& schema, const std::string& where, StateId from, StateId to) {
    for (const auto& [keyword, value] : schema.items()) {
      if (keyword != "enum" && keyword != "const" && keyword != "type" && !IsAnnotation(keyword)) {
        return Refuse(Beneath(where, keyword), "not supported beside enum or const");
      }
    }
    Schema values = Schema::array();
    if (schema.contains("const")) values.push_back(schema["const"]);
    if (schema.contains("enum")) {
      if (!schema["enum"].is_array()) return Refuse(where, "enum: a list of values is right");
      const Schema listed = schema["enum"];
      const bool has =
          values.empty() || std::find(listed.begin(), listed.end(), values[0]) != listed.end();
      if (values.empty()) values = listed;
      if (!has) values.clear();
    }
    std::set<std::string> types;
    if (schema.contains("type")) {
      LR_ASSIGN_OR_RETURN(types, Types(schema, where));
    }
    std::set<std::string> texts;
    for (const Schema& value : values) {
      const bool fits = types.empty() ||
                        std::any_of(types.begin(), types.end(),
                                    [&](const std::string& type) { return HasType(value, type); });
      if (fits) texts.insert(value.dump());
    }
    json_.OneOf(texts, from, to);
    return absl::OkStatus();
  }

  absl::StatusOr<std::set<std::string>> Types(const Schema& schema, const std::string& where) {
    static const std::set<std::string> all = {"array",  "boolean", "integer", "null",
                                              "number", "object",  "string"};
    std::set<std::string> types;
    if (schema.contains("type")) {
      const Schema& type = schema["type"];
      for (const Schema& t : type.is_array() ? type : Schema::array({type})) {
        if (!t.is_string() || !all.contains(t.get<std::string>())) {
          return Refuse(Beneath(where, "type"), "{} is no type of JSON schema", t.dump());
        }
        types.insert(t.get<std::string>());
      }
      if (types.contains("number")) types.erase("integer");
      return types;
    }
    // By what it speaks of; narrower than JSON schema, where such a schema says nothing of others.
    const auto has = [&](std::initializer_list<const char*> keywords) {
      return std::any_of(keywords.begin(), keywords.end(),
                         [&](const char* keyword) { return schema.contains(keyword); });
    };
    if (has({"properties", "required", "additionalProperties"})) types.insert("object");
    if (has({"items", "prefixItems", "minItems", "maxItems"})) types.insert("array");
    if (has({"minLength", "maxLength", "pattern", "format"})) types.insert("string");
    if (has({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})) {
      types.insert("number");
    }
    if (types.empty()) types = {"array", "boolean", "null", "number", "object", "string"};
    return types;
  }

  absl::Status Type(const std::string& type, const Schema& schema, const std::string& where,
                    StateId from, StateId to) {
    if (type == "null") {
      builder_.Literal(from, "null", to);
    } else if (type == "boolean") {
      json_.OneOf({"true", "false"}, from, to);
    } else if (type == "string") {
      return String(schema, where, from, to);
    } else if (type == "integer" || type == "number") {
      return Number(schema, type == "integer", where, from, to);
    } else if (type == "array") {
      return Array(schema, where, from, to);
    } else {
      return Object(schema, where, from, to);
    }
    return absl::OkStatus();
  }

  // A whole number from 0, `otherwise` where the schema has none.
  absl::StatusOr<int64_t> Count(const Schema& schema, const char* keyword, int64_t otherwise,
                                const std::string& where) {
    if (!schema.contains(keyword)) return otherwise;
    const Schema& value = schema[keyword];
    if (!value.is_number() || value.get<double>() < 0 ||
        value.get<double>() != std::floor(value.get<double>())) {
      return Refuse(Beneath(where, keyword), "a whole number from 0 is right");
    }
    if (value.get<double>() > kMostCount) {
      return Refuse(Beneath(where, keyword), "at most {} is supported", kMostCount);
    }
    return static_cast<int64_t>(value.get<double>());
  }

  absl::Status String(const Schema& schema, const std::string& where, StateId from, StateId to) {
    const bool has_pattern = schema.contains("pattern"), has_format = schema.contains("format");
    LR_ASSIGN_OR_RETURN(const int64_t shortest, Count(schema, "minLength", 0, where));
    LR_ASSIGN_OR_RETURN(const int64_t longest, Count(schema, "maxLength", kNever, where));
    if (shortest > longest) return Refuse(where, "minLength is over maxLength");
    if (!has_pattern && !has_format) {
      json_.String(static_cast<int32_t>(shortest), static_cast<int32_t>(longest), from, to);
      return absl::OkStatus();
    }
    if ((has_pattern && has_format) || schema.contains("minLength") ||
        schema.contains("maxLength")) {
      return Refuse(where,
                    "of pattern, format and the bounds of the length, one kind is supported; "
                    "{{n,m}} in a pattern bounds its length");
    }
    const char* keyword = has_pattern ? "pattern" : "format";
    const std::string at = Beneath(where, keyword);
    if (!schema[keyword].is_string()) return Refuse(at, "a string is right");
    auto pattern = schema[keyword].get<std::string>();
    if (has_format) {
      const auto it = Formats().find(pattern);
      if (it == Formats().end()) {
        return Refuse(at, "\"{}\" is not supported; date, time, date-time and uuid are", pattern);
      }
      pattern = it->second;
    }
    const StateId end = builder_.NewState();
    const absl::Status appended =
        AppendPattern(pattern, builder_.Literal(from, "\""), end, &builder_);
    if (!appended.ok()) return Refuse(at, "{}", std::string(appended.message()));
    builder_.Literal(end, "\"", to);
    return absl::OkStatus();
  }

  // Tightens `range` by one bound; of numbers that are not whole, bounds that are alone are read.
  absl::Status Bound(const Schema& schema, const char* keyword, bool low, bool excluded,
                     const std::string& where, NumberRange* range) {
    if (!schema.contains(keyword)) return absl::OkStatus();
    const std::string at = Beneath(where, keyword);
    if (!schema[keyword].is_number()) return Refuse(at, "a number is right");
    double value = schema[keyword].get<double>();
    if (value != std::floor(value)) {
      if (!range->whole) return Refuse(at, "bounds of numbers that are not whole must be");
      value = low ? std::ceil(value) : std::floor(value);
      excluded = false;
    }
    if (std::abs(value) > kLargestBound) {
      if ((value < 0) == low) return absl::OkStatus();  // as good as none
      return Refuse(at, "numbers of more than 18 digits are not supported");
    }
    const auto bound = static_cast<int64_t>(value);
    std::optional<int64_t>& kept = low ? range->low : range->high;
    bool& kept_excluded = low ? range->low_excluded : range->high_excluded;
    const bool tighter = !kept.has_value() || (low ? bound > *kept : bound < *kept);
    if (tighter) {
      kept_excluded = excluded;
    } else if (bound == *kept) {
      kept_excluded = kept_excluded || excluded;
    }
    if (tighter) kept = bound;
    return absl::OkStatus();
  }

  absl::Status Number(const Schema& schema, bool whole, const std::string& where, StateId from,
                      StateId to) {
    NumberRange range{.whole = whole};
    LR_RETURN_IF_ERROR(Bound(schema, "minimum", true, false, where, &range));
    LR_RETURN_IF_ERROR(Bound(schema, "exclusiveMinimum", true, true, where, &range));
    LR_RETURN_IF_ERROR(Bound(schema, "maximum", false, false, where, &range));
    LR_RETURN_IF_ERROR(Bound(schema, "exclusiveMaximum", false, true, where, &range));
    json_.Number(range, from, to);
    return absl::OkStatus();
  }

  // A rule for a schema that is used in many places.
  absl::StatusOr<RuleId> Shared(const Schema& schema, const std::string& where) {
    const auto rule = builder_.NewRule();
    const RuleId before = std::exchange(current_, rule.id);
    LR_RETURN_IF_ERROR(Value(schema, where, rule.start, rule.end, true));
    current_ = before;
    return rule.id;
  }

  absl::Status Array(const Schema& schema, const std::string& where, StateId from, StateId to) {
    const Schema prefix = schema.value("prefixItems", Schema::array());
    if (!prefix.is_array()) {
      return Refuse(Beneath(where, "prefixItems"), "a list of schemas is right");
    }
    const auto first = static_cast<int64_t>(prefix.size());
    LR_ASSIGN_OR_RETURN(const int64_t fewest, Count(schema, "minItems", 0, where));
    LR_ASSIGN_OR_RETURN(int64_t most, Count(schema, "maxItems", kNever, where));
    const Schema items = schema.value("items", Schema(true));
    if (items == false) most = std::min(most, first);
    std::optional<RuleId> item;
    if (most > first) {
      LR_ASSIGN_OR_RETURN(item, Shared(items, Beneath(where, "items")));
    }
    StateId open = builder_.NewState();
    json_.Space(builder_.Literal(from, "["), open);
    const StateId close = builder_.NewState(), before_close = builder_.NewState();
    json_.Space(before_close, close);
    builder_.Literal(close, "]", to);
    if (fewest == 0) builder_.Empty(open, close);
    StateId at = builder_.NewState();  // where the next item begins
    builder_.Empty(open, at);
    for (int64_t n = 0; n < most && !builder_.full(); ++n) {
      const bool loops = most == kNever && n >= std::max(fewest, first);
      const StateId after = builder_.NewState();
      if (n < first) {
        LR_RETURN_IF_ERROR(Value(prefix[static_cast<size_t>(n)],
                                 fmt::format("{}/prefixItems/{}", where, n), at, after, false));
      } else {
        builder_.Call(at, *item, after);
      }
      if (n + 1 >= fewest) builder_.Empty(after, before_close);
      if (n + 1 == most) break;
      const StateId next = loops ? at : builder_.NewState();
      json_.Space(builder_.Literal(after, ","), next);
      if (loops) break;
      at = next;
    }
    return absl::OkStatus();
  }

  struct Property {
    std::string name;
    Schema schema;
    bool required = false;
  };

  absl::StatusOr<std::vector<Property>> Properties(const Schema& schema, const Schema& additional,
                                                   const std::string& where) {
    std::vector<Property> properties;
    const Schema named = schema.value("properties", Schema::object());
    if (!named.is_object()) return Refuse(Beneath(where, "properties"), "an object is right");
    std::set<std::string> required;
    for (const Schema& name : schema.value("required", Schema::array())) {
      if (!name.is_string()) return Refuse(Beneath(where, "required"), "a list of names is right");
      required.insert(name.get<std::string>());
    }
    size_t optional = 0;
    for (const auto& [name, value] : named.items()) {
      properties.push_back({name, value, required.erase(name) > 0});
      if (!properties.back().required) ++optional;
    }
    if (optional > kMostAlternatives) {
      return Refuse(where, "more than {} properties that are not required", kMostAlternatives);
    }
    for (const std::string& name : required) {
      if (additional == false) {
        return Refuse(Beneath(where, "required"), "\"{}\" is not among the properties", name);
      }
      properties.push_back({name, additional, true});
    }
    return properties;
  }

  absl::Status Object(const Schema& schema, const std::string& where, StateId from, StateId to) {
    const Schema additional =
        schema.value("additionalProperties", Schema(!schema.contains("properties")));
    LR_ASSIGN_OR_RETURN(const auto properties, Properties(schema, additional, where));
    if (properties.empty() && additional == true) {
      json_.AnyObject(from, to);
      return absl::OkStatus();
    }
    // Before the next property: where none has been written yet, and where one has.
    StateId none = builder_.NewState(), some = builder_.NewState();
    json_.Space(builder_.Literal(from, "{"), none);
    std::set<std::string> names;
    for (const Property& property : properties) {
      names.insert(property.name);
      const StateId key = builder_.NewState(), value = builder_.NewState();
      const StateId next_none = builder_.NewState(), next_some = builder_.NewState();
      builder_.Empty(none, key);
      json_.Space(builder_.Literal(some, ","), key);
      json_.Space(builder_.Literal(key, Schema(property.name).dump() + ":"), value);
      LR_RETURN_IF_ERROR(Value(property.schema,
                               Beneath(Beneath(where, "properties"), property.name), value,
                               next_some, false));
      if (!property.required) {
        builder_.Empty(none, next_none);
        builder_.Empty(some, next_some);
      }
      none = next_none;
      some = next_some;
    }
    if (additional != false) {
      const std::string at = Beneath(where, "additionalProperties");
      LR_ASSIGN_OR_RETURN(const RuleId rule, Shared(additional, at));
      const StateId key = builder_.NewState(), after_key = builder_.NewState(),
                    value = builder_.NewState();
      builder_.Empty(none, key);
      json_.Space(builder_.Literal(some, ","), key);
      json_.OtherKey(names, key, after_key);
      json_.Space(builder_.Literal(after_key, ":"), value);
      builder_.Call(value, rule, some);
    }
    const StateId close = builder_.NewState();
    builder_.Empty(none, close);
    json_.Space(some, close);
    builder_.Literal(close, "}", to);
    return absl::OkStatus();
  }

  GrammarBuilder builder_;
  SchemaMerger merger_;
  JsonRules json_;
  std::map<std::string, RuleId> rules_;  // by $ref
  std::vector<std::pair<std::string, GrammarBuilder::Rule>> pending_;
  std::map<RuleId, std::set<RuleId>> heads_;  // rules that a rule comes to before any byte
  RuleId current_ = 0;
  int parts_ = 0;
};

}  // namespace

absl::StatusOr<Grammar> CompileSchema(std::string_view text) {
  if (text.size() > kMostBytes) {
    return absl::InvalidArgumentError(
        fmt::format("the schema has {} bytes; at most {} work", text.size(), kMostBytes));
  }
  LR_ASSIGN_OR_RETURN(const Schema schema, model::ParseStrictOrderedJson(text, "the schema"));
  try {
    return Compiler(schema).Compile();
  } catch (const Schema::exception& e) {  // a keyword's value of another type than it must be
    return absl::InvalidArgumentError(fmt::format("the schema: {}", e.what()));
  }
}

Grammar ObjectGrammar() {
  GrammarBuilder builder;
  JsonRules json(&builder);
  const auto root = builder.NewRule();
  json.AnyObject(root.start, root.end);
  absl::StatusOr<Grammar> grammar = std::move(builder).Build(root.id);
  LR_CHECK(grammar.ok());
  return *std::move(grammar);
}

}  // namespace longrun::serving
