#include "serving/grammar/schema_merge.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

namespace longrun::serving {
namespace {

constexpr int kMostMerges = 500;
constexpr size_t kMostWork = 300'000;  // values copied and compared: a tenth of a second
constexpr size_t kNamesInOne = 16;     // looking so many names up is like one of them

size_t ValuesIn(const Schema& schema) {
  size_t count = 1;
  if (schema.is_structured()) {
    for (const Schema& value : schema) count += ValuesIn(value);
  }
  return count;
}

size_t PropertiesOf(const Schema& schema) {
  const auto found = schema.find("properties");
  return found == schema.end() ? 0 : found->size();
}

template <class... T>
absl::Status Refuse(const std::string& where, fmt::format_string<T...> format, T&&... values) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", where, fmt::format(format, std::forward<T>(values)...)));
}

std::set<std::string> TypesOf(const Schema& type) {
  std::set<std::string> types;
  if (type.is_string()) types.insert(type.get<std::string>());
  if (type.is_array()) {
    for (const Schema& t : type) types.insert(t.get<std::string>());
  }
  return types;
}

Schema CommonTypes(const Schema& a, const Schema& b) {
  const std::set<std::string> left = TypesOf(a), right = TypesOf(b);
  Schema common = Schema::array();
  for (const std::string& type : left) {
    if (right.contains(type) || (type == "integer" && right.contains("number"))) {
      common.push_back(type);
    }
  }
  if (right.contains("integer") && left.contains("number") && !left.contains("integer")) {
    common.push_back("integer");
  }
  return common;
}

bool HasOneOf(const Schema& schema, std::initializer_list<const char*> keywords) {
  return std::any_of(keywords.begin(), keywords.end(),
                     [&](const char* keyword) { return schema.contains(keyword); });
}

}  // namespace

bool IsAnnotation(std::string_view keyword) {
  static const std::set<std::string_view> known = {
      "$comment",   "$defs",       "$id",      "$schema",  "default", "definitions",
      "deprecated", "description", "examples", "readOnly", "title",   "writeOnly"};
  return known.contains(keyword) || keyword.starts_with("x-");
}

absl::StatusOr<const Schema*> SchemaMerger::Resolve(const std::string& ref,
                                                    const std::string& where) const {
  if (ref != "#" && !ref.starts_with("#/")) {
    return Refuse(where, "$ref: \"#/…\" into the schema itself is right, not \"{}\"", ref);
  }
  try {
    const Schema::json_pointer pointer(ref.substr(1));
    if (root_.contains(pointer)) return &root_.at(pointer);
  } catch (const Schema::exception&) {  // no pointer at all
  }
  return Refuse(where, "$ref: there is nothing at \"{}\"", ref);
}

absl::StatusOr<Schema> SchemaMerger::Flatten(const Schema& schema, const std::string& where) {
  if (!schema.is_object()) return schema;
  const bool only_ref =
      schema.contains("$ref") && !schema.contains("allOf") &&
      std::all_of(schema.items().begin(), schema.items().end(), [](const auto& item) {
        return item.key() == "$ref" || IsAnnotation(item.key());
      });
  if (only_ref || !HasOneOf(schema, {"$ref", "allOf"})) return schema;
  LR_RETURN_IF_ERROR(CountOne(where));
  Schema merged = schema;
  merged.erase("$ref");
  merged.erase("allOf");
  if (schema.contains("$ref")) {
    LR_ASSIGN_OR_RETURN(const Schema* target, Resolve(schema["$ref"].get<std::string>(), where));
    LR_ASSIGN_OR_RETURN(merged, Merge(merged, *target, where));
  }
  if (!schema.contains("allOf")) return merged;
  if (!schema["allOf"].is_array()) return Refuse(where, "allOf: a list of schemas is right");
  for (size_t i = 0; i < schema["allOf"].size(); ++i) {
    LR_ASSIGN_OR_RETURN(merged,
                        Merge(merged, schema["allOf"][i], fmt::format("{}/allOf/{}", where, i)));
  }
  return merged;
}

absl::Status SchemaMerger::CountOne(const std::string& where) {
  if (++merges_ <= kMostMerges) return absl::OkStatus();
  return Refuse(where, "more than {} merges of allOf, $ref and anyOf", kMostMerges);
}

absl::Status SchemaMerger::Charge(const Schema& a, const Schema& b, const std::string& where) {
  work_ += ValuesIn(a) + ValuesIn(b) + PropertiesOf(a) * PropertiesOf(b) / kNamesInOne;
  if (work_ <= kMostWork) return absl::OkStatus();
  return Refuse(where, "the merges of allOf, $ref and anyOf so far are too large together");
}

absl::StatusOr<Schema> SchemaMerger::Merge(const Schema& a, const Schema& b,
                                           const std::string& where) {
  if (a == true || b == false) return b;
  if (b == true || a == false) return a;
  LR_RETURN_IF_ERROR(Charge(a, b, where));
  Schema part = b;
  // A part that is a mere $ref becomes what it refers to.
  while (part.is_object() && part.contains("$ref")) {
    LR_RETURN_IF_ERROR(CountOne(where));
    LR_ASSIGN_OR_RETURN(part, Flatten(part, where));
    if (!part.is_object() || !part.contains("$ref")) break;
    LR_ASSIGN_OR_RETURN(const Schema* target, Resolve(part["$ref"].get<std::string>(), where));
    part = *target;
  }
  LR_ASSIGN_OR_RETURN(part, Flatten(part, where));
  LR_RETURN_IF_ERROR(Charge(a, part, where));
  if (part == true) return a;
  if (part == false) return part;
  if (!part.is_object()) return Refuse(where, "a schema is an object, true or false");
  // What counts as additional depends on the properties beside it.
  if ((a.contains("additionalProperties") || part.contains("additionalProperties")) &&
      a.value("properties", Schema()) != part.value("properties", Schema()) &&
      !a.value("properties", Schema::object()).empty()) {
    return Refuse(where, "schemas with additionalProperties and other properties cannot be merged");
  }
  Schema merged = a;
  for (const auto& [keyword, value] : part.items()) {
    if (IsAnnotation(keyword)) continue;
    if (!merged.contains(keyword)) {
      merged[keyword] = value;
    } else if (merged[keyword] != value) {
      LR_RETURN_IF_ERROR(MergeKeyword(keyword, value, where, &merged));
    }
  }
  return merged;
}

absl::Status SchemaMerger::MergeKeyword(const std::string& keyword, const Schema& theirs,
                                        const std::string& where, Schema* into) {
  Schema& ours = (*into)[keyword];
  const bool numbers = ours.is_number() && theirs.is_number();
  if (keyword == "type") {
    ours = CommonTypes(ours, theirs);
  } else if (keyword == "required" && ours.is_array() && theirs.is_array()) {
    for (const Schema& name : theirs) {
      if (std::find(ours.begin(), ours.end(), name) == ours.end()) ours.push_back(name);
    }
  } else if (keyword == "properties" && ours.is_object() && theirs.is_object()) {
    for (const auto& [name, schema] : theirs.items()) {
      if (!ours.contains(name)) {
        ours[name] = schema;
      } else if (ours[name] != schema) {
        LR_ASSIGN_OR_RETURN(
            ours[name], Merge(ours[name], schema, fmt::format("{}/properties/{}", where, name)));
      }
    }
  } else if (numbers && (keyword.starts_with("min") || keyword == "exclusiveMinimum")) {
    ours = std::max(ours, theirs);
  } else if (numbers && (keyword.starts_with("max") || keyword == "exclusiveMaximum")) {
    ours = std::min(ours, theirs);
  } else {
    return Refuse(where, "two different values of {} cannot be merged", keyword);
  }
  return absl::OkStatus();
}

}  // namespace longrun::serving
