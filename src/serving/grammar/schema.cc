#include "serving/grammar/schema.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "model/strict_json.h"
#include "serving/grammar/json_rules.h"
#include "serving/grammar/schema_merge.h"
#include "serving/grammar/schema_scalars.h"

namespace longrun::serving {
namespace {

constexpr size_t kMostBytes = 64 << 10;
constexpr int kMostParts = 10'000;
// What may come at once is bounded when a text is read (machine.h).
constexpr size_t kMostAlternatives = 100;

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

class Compiler {
 public:
  explicit Compiler(const Schema& root) : merger_(root), json_(&builder_) {}

  absl::StatusOr<Grammar> Compile() { return Finish(RuleOf("#")); }

  // Calls of the tools whose schemas stand in $defs.
  absl::StatusOr<Grammar> CompileCalls(const std::vector<std::string>& names, bool or_content,
                                       const CallSyntax& syntax) {
    const auto root = builder_.NewRule();
    const auto call = builder_.NewRule();
    Call(names, syntax.arguments_key, call);
    if (or_content) builder_.Call(root.start, RuleOf(Beneath("#", kContentKey)), root.end);
    StateId at = builder_.Literal(root.start, syntax.before);
    for (int64_t n = 0; n < syntax.most && !builder_.full(); ++n) {
      const StateId after = builder_.NewState();
      builder_.Call(at, call.id, after);
      builder_.Literal(after, syntax.after, root.end);
      at = builder_.Literal(after, syntax.between);
    }
    return Finish(root.id);
  }

 private:
  // Names that begin alike share their states, so that all tools are one place to be at.
  void Call(const std::vector<std::string>& names, const std::string& arguments_key,
            const GrammarBuilder::Rule& rule) {
    const auto after_space = [this](StateId from) {
      const StateId to = builder_.NewState();
      json_.Space(from, to);
      return to;
    };
    const StateId open = after_space(builder_.Literal(rule.start, "{"));
    const StateId name = builder_.Literal(after_space(builder_.Literal(open, "\"name\":")), "\"");
    const StateId last = builder_.NewState(), close = builder_.NewState();
    json_.Space(last, close);
    builder_.Literal(close, "}", rule.end);
    std::map<std::string, StateId> after = {{"", name}};
    for (const std::string& tool : names) {
      StateId at = name;
      for (size_t n = 1; n <= tool.size() && !builder_.full(); ++n) {
        const auto [it, is_new] = after.try_emplace(tool.substr(0, n), 0);
        if (is_new) it->second = builder_.Literal(at, tool.substr(n - 1, 1));
        at = it->second;
      }
      at = after_space(builder_.Literal(at, "\","));
      at = after_space(builder_.Literal(at, Schema(arguments_key).dump() + ":"));
      builder_.Call(at, RuleOf(Beneath("#/$defs", tool)), last);
    }
  }

  absl::StatusOr<Grammar> Finish(RuleId root) {
    while (!pending_.empty()) {
      const auto [ref, rule] = pending_.back();
      pending_.pop_back();
      LR_ASSIGN_OR_RETURN(const Schema* target, merger_.Resolve(ref, ref));
      current_ = rule.id;
      LR_RETURN_IF_ERROR(Value(*target, ref, rule.start, rule.end, true));
    }
    LR_RETURN_IF_ERROR(CheckLoops());
    absl::StatusOr<Grammar> grammar = std::move(builder_).Build(root);
    if (!grammar.ok()) return RefuseAt("#", "{}", std::string(grammar.status().message()));
    return grammar;
  }

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
          if (next == rule) return RefuseAt(ref, "refers to itself without anything between");
          if (met.insert(next).second) todo.push_back(next);
        }
      }
    }
    return absl::OkStatus();
  }

  // `head`: nothing of the rule has been written before it.
  absl::Status Value(const Schema& unflattened, const std::string& where, StateId from, StateId to,
                     bool head) {
    if (++parts_ > kMostParts) return RefuseAt(where, "more than {} parts", kMostParts);
    if (builder_.full()) return absl::OkStatus();  // Build says so
    LR_ASSIGN_OR_RETURN(const Schema schema, merger_.Flatten(unflattened, where));
    if (schema == true) {
      json_.AnyValue(from, to);
      return absl::OkStatus();
    }
    if (schema == false) return absl::OkStatus();
    if (!schema.is_object()) return RefuseAt(where, "a schema is an object, true or false");
    for (const auto& [keyword, value] : schema.items()) {
      if (!Keywords().contains(keyword) && !IsAnnotation(keyword)) {
        return RefuseAt(Beneath(where, keyword), "{} is not supported", keyword);
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
    LR_ASSIGN_OR_RETURN(const auto types, TypesOf(schema, where));
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
      return RefuseAt(beneath, "a list of schemas is right");
    }
    if (alternatives.size() > kMostAlternatives) {
      return RefuseAt(beneath, "more than {} alternatives", kMostAlternatives);
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
        return RefuseAt(Beneath(where, keyword), "not supported beside enum or const");
      }
    }
    Schema values = Schema::array();
    if (schema.contains("const")) values.push_back(schema["const"]);
    if (schema.contains("enum")) {
      if (!schema["enum"].is_array()) return RefuseAt(where, "enum: a list of values is right");
      const Schema listed = schema["enum"];
      const bool has =
          values.empty() || std::find(listed.begin(), listed.end(), values[0]) != listed.end();
      if (values.empty()) values = listed;
      if (!has) values.clear();
    }
    std::set<std::string> types;
    if (schema.contains("type")) {
      LR_ASSIGN_OR_RETURN(types, TypesOf(schema, where));
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

  absl::Status Type(const std::string& type, const Schema& schema, const std::string& where,
                    StateId from, StateId to) {
    if (type == "null") {
      builder_.Literal(from, "null", to);
    } else if (type == "boolean") {
      json_.OneOf({"true", "false"}, from, to);
    } else if (type == "string") {
      return AppendString(schema, where, from, to, &json_, &builder_);
    } else if (type == "integer" || type == "number") {
      return AppendNumber(schema, type == "integer", where, from, to, &json_);
    } else if (type == "array") {
      return Array(schema, where, from, to);
    } else {
      return Object(schema, where, from, to);
    }
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
      return RefuseAt(Beneath(where, "prefixItems"), "a list of schemas is right");
    }
    const auto first = static_cast<int64_t>(prefix.size());
    LR_ASSIGN_OR_RETURN(const int64_t fewest, CountOf(schema, "minItems", 0, where));
    LR_ASSIGN_OR_RETURN(int64_t most, CountOf(schema, "maxItems", kNever, where));
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
    if (!named.is_object()) return RefuseAt(Beneath(where, "properties"), "an object is right");
    std::set<std::string> required;
    for (const Schema& name : schema.value("required", Schema::array())) {
      if (!name.is_string())
        return RefuseAt(Beneath(where, "required"), "a list of names is right");
      required.insert(name.get<std::string>());
    }
    size_t optional = 0;
    for (const auto& [name, value] : named.items()) {
      properties.push_back({name, value, required.erase(name) > 0});
      if (!properties.back().required) ++optional;
    }
    if (optional > kMostAlternatives) {
      return RefuseAt(where, "more than {} properties that are not required", kMostAlternatives);
    }
    for (const std::string& name : required) {
      if (additional == false) {
        return RefuseAt(Beneath(where, "required"), "\"{}\" is not among the properties", name);
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

template <class Compile>
absl::StatusOr<Grammar> CompileText(std::string_view text, Compile compile) {
  if (text.size() > kMostBytes) {
    return absl::InvalidArgumentError(
        fmt::format("the schema has {} bytes; at most {} work", text.size(), kMostBytes));
  }
  LR_ASSIGN_OR_RETURN(const Schema schema, model::ParseStrictOrderedJson(text, "the schema"));
  try {
    return compile(schema);
  } catch (const Schema::exception& e) {  // a keyword's value of another type than it must be
    return absl::InvalidArgumentError(fmt::format("the schema: {}", e.what()));
  }
}

}  // namespace

absl::StatusOr<Grammar> CompileSchema(std::string_view text) {
  return CompileText(text, [](const Schema& schema) { return Compiler(schema).Compile(); });
}

absl::StatusOr<Grammar> CompileCalls(std::string_view text, const CallSyntax& syntax) {
  return CompileText(text, [&](const Schema& schemas) {
    std::vector<std::string> names;
    for (const auto& [name, parameters] : schemas.at("$defs").items()) names.push_back(name);
    return Compiler(schemas).CompileCalls(names, schemas.contains(kContentKey), syntax);
  });
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
