// What a chat template may do to a value: filters ({{ x | trim }}), tests (x is defined) and
// methods (x.strip()). Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serving/prompt/jinja_value.h"

namespace longrun::serving::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;

  // Null where it was not given.
  const Value* Get(size_t place, std::string_view name) const;
};

// InvalidArgument: an unknown name, or a value of another kind.
absl::StatusOr<Value> ApplyFilter(const std::string& name, const Value& value,
                                  const Arguments& arguments, Budget* budget);
absl::StatusOr<bool> ApplyTest(const std::string& name, const Value& value,
                               const Arguments& arguments, Budget* budget);
// Whether values of that kind have such a method.
bool HasMethod(const Value& object, std::string_view name);
absl::StatusOr<Value> CallMethod(const Value& object, const std::string& name,
                                 const Arguments& arguments, Budget* budget);

// object.name or object["name"]: undefined where there is none.
absl::StatusOr<Value> Attribute(const Value& object, const std::string& name);
absl::StatusOr<Value> Index(const Value& object, const Value& index);
absl::StatusOr<Value> Slice(const Value& object, const Value& from, const Value& to,
                            const Value& step, Budget* budget);
// `item in container`.
absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget* budget);
// What a loop goes over: a list's items, a map's keys, a text's characters.
absl::StatusOr<List> Items(const Value& value, Budget* budget);

}  // namespace longrun::serving::jinja
