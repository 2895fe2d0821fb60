// + - * / // % ** and ~ as Python means them; what would overflow is an error. Pure.
#pragma once

#include <string>

#include "base/status.h"
#include "serving/prompt/jinja_value.h"

namespace longrun::serving::jinja {

absl::StatusOr<Value> Arithmetic(const std::string& sign, const Value& a, const Value& b,
                                 Budget* budget);

}  // namespace longrun::serving::jinja
