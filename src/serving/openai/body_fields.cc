#include "serving/openai/body_fields.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "model/strict_json.h"
#include "model/utf8.h"

namespace longrun::serving {

using nlohmann::json;

namespace {

// A whole number exactly; nothing where int64 does not reach.
std::optional<int64_t> AsInt64(const json& number) {
  if (number.is_number_unsigned()) {
    const auto value = number.get<uint64_t>();
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(value);
  }
  if (number.is_number_integer()) return number.get<int64_t>();
  const auto value = number.get<double>();
  constexpr double kEnd = 0x1p63;
  if (!(value >= -kEnd && value < kEnd)) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace

bool ParseBody(const RequestLimits& limits, std::string_view body, json* to, ApiError* error) {
  if (!model::IsValidUtf8(body)) {
    *error = BadRequest("", "the request's body is not valid UTF-8", "invalid_utf8");
    return false;
  }
  absl::StatusOr<json> parsed = model::ParseStrictJson(
      body, "the request's body", {.values = limits.values, .keys = limits.keys});
  if (!parsed.ok()) {
    *error = BadRequest("", std::string(parsed.status().message()), "invalid_json");
    return false;
  }
  if (!parsed->is_object()) {
    *error = BadRequest(
        "", absl::StrCat("the request's body is ", KindOf(*parsed), "; a JSON object is right"),
        "invalid_type");
    return false;
  }
  *to = *std::move(parsed);
  return true;
}

std::string KindOf(const json& value) {
  if (value.is_string()) return "a string";
  if (value.is_array()) return "an array";
  if (value.is_object()) return "an object";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  return "null";
}

const json* BodyFields::Find(const std::string& key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

void BodyFields::Fail(const std::string& key, const std::string& message, const std::string& code) {
  if (ok()) error_ = BadRequest(path_ + key, message, code);
}

void BodyFields::WrongType(const std::string& key, std::string_view needed, const json& found) {
  Fail(key,
       absl::StrCat("Invalid type for '", path_, key, "': expected ", std::string(needed),
                    ", but got ", KindOf(found), " instead."),
       "invalid_type");
}

void BodyFields::Missing(const std::string& key) {
  Fail(key, "Missing required parameter: '" + path_ + key + "'.", "missing_required_parameter");
}

bool BodyFields::CheckArray(const std::string& key, const json& array, const char* items,
                            int64_t most) {
  if (!array.is_array()) {
    WrongType(key, absl::StrCat("an array of ", items), array);
  } else if (array.empty()) {
    Fail(key, "Invalid '" + key + "': it is empty.", "empty_array");
  } else if (static_cast<int64_t>(array.size()) > most) {
    Fail(key,
         absl::StrCat("Invalid '", key, "': ", array.size(), " ", items, "; at most ", most,
                      " are taken at once."),
         "array_above_max_length");
  } else {
    return true;
  }
  return false;
}

nlohmann::ordered_json BodyFields::InOrder(const std::string& key) const {
  using Event = nlohmann::ordered_json::parse_event_t;
  auto body = nlohmann::ordered_json::parse(
      text_, [&](int depth, Event event, const nlohmann::ordered_json& value) {
        return depth != 1 || event != Event::key || value == key;
      });
  return std::move(body.at(key));
}

template <class Number>
void BodyFields::OutOfRange(const std::string& key, const json& value, const std::string& kind,
                            Number lo, Number hi) {
  const bool below = value.get<double>() < static_cast<double>(lo);
  Fail(key,
       absl::StrCat("Invalid '", path_, key, "': ", value.dump(), " is out of range; ", lo, " to ",
                    hi, " is right."),
       kind + (below ? "_below_min_value" : "_above_max_value"));
}

void BodyFields::Int(const std::string& key, int64_t lo, int64_t hi, int64_t* to) {
  const json* value = Find(key);
  if (value == nullptr) return;
  // 1e3 and 16.0 are whole numbers too: some clients write them so.
  const bool whole =
      value->is_number_float() && std::trunc(value->get<double>()) == value->get<double>();
  if (!value->is_number_integer() && !whole) return WrongType(key, "a whole number", *value);
  const std::optional<int64_t> number = AsInt64(*value);
  if (!number || *number < lo || *number > hi) return OutOfRange(key, *value, "integer", lo, hi);
  *to = *number;
}

void BodyFields::Int(const std::string& key, int64_t lo, int64_t hi, std::optional<int64_t>* to) {
  if (Find(key) == nullptr) return;
  int64_t value = lo;
  Int(key, lo, hi, &value);
  *to = value;
}

void BodyFields::Double(const std::string& key, double lo, double hi, double* to) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_number()) return WrongType(key, "a number", *value);
  const auto number = value->get<double>();
  if (number < lo || number > hi) return OutOfRange(key, *value, "decimal", lo, hi);
  *to = number;
}

void BodyFields::Bool(const std::string& key, bool* to) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return WrongType(key, "a boolean", *value);
  *to = value->get<bool>();
}

void BodyFields::String(const std::string& key, std::string* to) {
  const json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_string()) return WrongType(key, "a string", *value);
  *to = value->get<std::string>();
}

}  // namespace longrun::serving
