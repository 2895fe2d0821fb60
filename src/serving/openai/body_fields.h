// Reads the fields of a request's JSON object. The first mistake is kept, with the field's name;
// fields that nobody asks for are ignored, as OpenAI does. null counts as absent.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "serving/openai/api_error.h"
#include "serving/openai/request_limits.h"

namespace longrun::serving {

// Bounded in depth and number of values; UTF-8 alone; an object.
bool ParseBody(const RequestLimits& limits, std::string_view body, nlohmann::json* to,
               ApiError* error);

class BodyFields {
 public:
  // `object` outlives it. `path`: of the object within the body, "" or "stream_options.". `text`:
  // what a body was parsed from, for those who need its keys in their order; outlives it too.
  explicit BodyFields(const nlohmann::json& object, std::string path = "",
                      std::string_view text = "")
      : object_(&object), path_(std::move(path)), text_(text) {}

  // Null where it is absent or null.
  const nlohmann::json* Find(const std::string& key) const;
  // Left as they are where absent. Numbers outside [lo, hi] are mistakes.
  void Int(const std::string& key, int64_t lo, int64_t hi, int64_t* to);
  void Int(const std::string& key, int64_t lo, int64_t hi, std::optional<int64_t>* to);
  void Double(const std::string& key, double lo, double hi, double* to);
  void Bool(const std::string& key, bool* to);
  void String(const std::string& key, std::string* to);

  void Fail(const std::string& key, const std::string& message,
            const std::string& code = "invalid_value");
  void WrongType(const std::string& key, std::string_view needed, const nlohmann::json& found);
  void Missing(const std::string& key);
  // Of 1 to `most` items; false, having said so, where it is not.
  bool CheckArray(const std::string& key, const nlohmann::json& array, const char* items,
                  int64_t most);
  // A field that is there, with the keys of each object in their order. Of the rest of the body
  // nothing is kept: making objects with ordered keys takes their length's square.
  nlohmann::ordered_json InOrder(const std::string& key) const;
  const std::string& path() const { return path_; }
  bool ok() const { return !error_.has_value(); }
  const ApiError& error() const { return *error_; }
  // Takes over the mistake of another reader, if there is one.
  void Take(const BodyFields& other) {
    if (ok() && !other.ok()) error_ = other.error();
  }

 private:
  // Of a number that is not in [lo, hi]; `kind`: "integer" or "decimal", as OpenAI's codes name
  // them.
  template <class Number>
  void OutOfRange(const std::string& key, const nlohmann::json& value, const std::string& kind,
                  Number lo, Number hi);

  const nlohmann::json* object_;
  std::string path_;
  std::string_view text_;
  std::optional<ApiError> error_;
};

// "a string", "an array": how messages call a JSON value.
std::string KindOf(const nlohmann::json& value);

}  // namespace longrun::serving
