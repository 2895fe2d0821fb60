// Says whether a JSON value satisfies a schema, by the letter of JSON schema (draft 2020-12, the
// keywords that src/serving/grammar reads). Has nothing in common with the grammar's code.
#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "model/utf8.h"

namespace longrun::serving {

class SchemaValidator {
 public:
  using Json = nlohmann::ordered_json;
  explicit SchemaValidator(const Json& root) : root_(root) {}

  bool Validates(const Json& value) const { return Check(root_, value); }

 private:
  bool Check(const Json& schema, const Json& value) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [keyword, what] : schema.items()) {
      if (!CheckKeyword(keyword, what, schema, value)) return false;
    }
    return true;
  }

  bool CheckKeyword(const std::string& keyword, const Json& what, const Json& schema,
                    const Json& value) const {
    const auto any = [&](const Json& schemas) {
      return std::any_of(schemas.begin(), schemas.end(),
                         [&](const Json& s) { return Check(s, value); });
    };
    if (keyword == "$ref") {
      return Check(root_.at(Json::json_pointer(what.get<std::string>().substr(1))), value);
    }
    if (keyword == "anyOf" || keyword == "oneOf") return any(what);
    if (keyword == "allOf") {
      return std::all_of(what.begin(), what.end(), [&](const Json& s) { return Check(s, value); });
    }
    if (keyword == "const") return value == what;
    if (keyword == "enum") return std::find(what.begin(), what.end(), value) != what.end();
    if (keyword == "type") {
      if (what.is_string()) return HasType(value, what.get<std::string>());
      return std::any_of(what.begin(), what.end(),
                         [&](const Json& t) { return HasType(value, t.get<std::string>()); });
    }
    if (value.is_number()) return CheckNumber(keyword, what, value.get<double>());
    if (value.is_string()) return CheckString(keyword, what, value.get<std::string>());
    if (value.is_array()) return CheckArray(keyword, what, schema, value);
    if (value.is_object()) return CheckObject(keyword, what, schema, value);
    return true;
  }

  static bool HasType(const Json& value, const std::string& type) {
    if (type == "integer") {
      return value.is_number() && value.get<double>() == std::floor(value.get<double>());
    }
    return std::string(value.is_number() ? "number" : value.type_name()) == type;
  }

  static bool CheckNumber(const std::string& keyword, const Json& what, double value) {
    if (keyword == "minimum") return value >= what.get<double>();
    if (keyword == "maximum") return value <= what.get<double>();
    if (keyword == "exclusiveMinimum") return value > what.get<double>();
    if (keyword == "exclusiveMaximum") return value < what.get<double>();
    return true;
  }

  static bool CheckString(const std::string& keyword, const Json& what, const std::string& text) {
    if (keyword == "pattern") return std::regex_search(text, std::regex(what.get<std::string>()));
    if (keyword != "minLength" && keyword != "maxLength") return true;
    int64_t length = 0;
    for (const char c : text) length += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
    return keyword == "minLength" ? length >= what.get<int64_t>() : length <= what.get<int64_t>();
  }

  bool CheckArray(const std::string& keyword, const Json& what, const Json& schema,
                  const Json& value) const {
    const auto size = static_cast<int64_t>(value.size());
    if (keyword == "minItems") return size >= what.get<int64_t>();
    if (keyword == "maxItems") return size <= what.get<int64_t>();
    const size_t first = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < value.size(); ++i) {
      if (keyword == "prefixItems" && i < first && !Check(what[i], value[i])) return false;
      if (keyword == "items" && i >= first && !Check(what, value[i])) return false;
    }
    return true;
  }

  bool CheckObject(const std::string& keyword, const Json& what, const Json& schema,
                   const Json& value) const {
    if (keyword == "required") {
      return std::all_of(what.begin(), what.end(),
                         [&](const Json& name) { return value.contains(name.get<std::string>()); });
    }
    for (const auto& [name, inner] : value.items()) {
      const bool named = schema.contains("properties") && schema["properties"].contains(name);
      if (keyword == "properties" && named && !Check(what[name], inner)) return false;
      if (keyword == "additionalProperties" && !named && !Check(what, inner)) return false;
    }
    return true;
  }

  const Json& root_;
};

}  // namespace longrun::serving
