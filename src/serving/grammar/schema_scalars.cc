#include "serving/grammar/schema_scalars.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "serving/grammar/pattern.h"

namespace longrun::serving {
namespace {

constexpr int64_t kMostCount = 100'000;
constexpr double kLargestBound = 999'999'999'999'999'999.0;

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

// Tightens `range` by one bound; of numbers that are not whole, bounds that are alone are read.
absl::Status Bound(const Schema& schema, const char* keyword, bool low, bool excluded,
                   const std::string& where, NumberRange* range) {
  if (!schema.contains(keyword)) return absl::OkStatus();
  const std::string at = Beneath(where, keyword);
  if (!schema[keyword].is_number()) return RefuseAt(at, "a number is right");
  double value = schema[keyword].get<double>();
  if (value != std::floor(value)) {
    if (!range->whole) return RefuseAt(at, "bounds of numbers that are not whole must be");
    value = low ? std::ceil(value) : std::floor(value);
    excluded = false;
  }
  if (std::abs(value) > kLargestBound) {
    if ((value < 0) == low) return absl::OkStatus();  // as good as none
    return RefuseAt(at, "numbers of more than 18 digits are not supported");
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

}  // namespace

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

absl::StatusOr<std::set<std::string>> TypesOf(const Schema& schema, const std::string& where) {
  static const std::set<std::string> all = {"array",  "boolean", "integer", "null",
                                            "number", "object",  "string"};
  std::set<std::string> types;
  if (schema.contains("type")) {
    const Schema& type = schema["type"];
    for (const Schema& t : type.is_array() ? type : Schema::array({type})) {
      if (!t.is_string() || !all.contains(t.get<std::string>())) {
        return RefuseAt(Beneath(where, "type"), "{} is no type of JSON schema", t.dump());
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

absl::StatusOr<int64_t> CountOf(const Schema& schema, const char* keyword, int64_t otherwise,
                                const std::string& where) {
  if (!schema.contains(keyword)) return otherwise;
  const Schema& value = schema[keyword];
  if (!value.is_number() || value.get<double>() < 0 ||
      value.get<double>() != std::floor(value.get<double>())) {
    return RefuseAt(Beneath(where, keyword), "a whole number from 0 is right");
  }
  if (value.get<double>() > kMostCount) {
    return RefuseAt(Beneath(where, keyword), "at most {} is supported", kMostCount);
  }
  return static_cast<int64_t>(value.get<double>());
}

absl::Status AppendString(const Schema& schema, const std::string& where, StateId from, StateId to,
                          JsonRules* json, GrammarBuilder* builder) {
  const bool has_pattern = schema.contains("pattern"), has_format = schema.contains("format");
  LR_ASSIGN_OR_RETURN(const int64_t shortest, CountOf(schema, "minLength", 0, where));
  LR_ASSIGN_OR_RETURN(const int64_t longest, CountOf(schema, "maxLength", kNever, where));
  if (shortest > longest) return RefuseAt(where, "minLength is over maxLength");
  if (!has_pattern && !has_format) {
    json->String(static_cast<int32_t>(shortest), static_cast<int32_t>(longest), from, to);
    return absl::OkStatus();
  }
  if ((has_pattern && has_format) || schema.contains("minLength") || schema.contains("maxLength")) {
    return RefuseAt(where,
                    "of pattern, format and the bounds of the length, one kind is supported; "
                    "{{n,m}} in a pattern bounds its length");
  }
  const char* keyword = has_pattern ? "pattern" : "format";
  const std::string at = Beneath(where, keyword);
  if (!schema[keyword].is_string()) return RefuseAt(at, "a string is right");
  auto pattern = schema[keyword].get<std::string>();
  if (has_format) {
    const auto it = Formats().find(pattern);
    if (it == Formats().end()) {
      return RefuseAt(at, "\"{}\" is not supported; date, time, date-time and uuid are", pattern);
    }
    pattern = it->second;
  }
  const StateId end = builder->NewState();
  const absl::Status appended = AppendPattern(pattern, builder->Literal(from, "\""), end, builder);
  if (!appended.ok()) return RefuseAt(at, "{}", std::string(appended.message()));
  builder->Literal(end, "\"", to);
  return absl::OkStatus();
}

absl::Status AppendNumber(const Schema& schema, bool whole, const std::string& where, StateId from,
                          StateId to, JsonRules* json) {
  NumberRange range{.whole = whole};
  LR_RETURN_IF_ERROR(Bound(schema, "minimum", true, false, where, &range));
  LR_RETURN_IF_ERROR(Bound(schema, "exclusiveMinimum", true, true, where, &range));
  LR_RETURN_IF_ERROR(Bound(schema, "maximum", false, false, where, &range));
  LR_RETURN_IF_ERROR(Bound(schema, "exclusiveMaximum", false, true, where, &range));
  json->Number(range, from, to);
  return absl::OkStatus();
}

}  // namespace longrun::serving
