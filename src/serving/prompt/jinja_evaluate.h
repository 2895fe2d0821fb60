// The value of a chat template's expression. Belongs to one rendering.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "serving/prompt/jinja_filters.h"
#include "serving/prompt/jinja_parser.h"
#include "serving/prompt/jinja_value.h"

namespace longrun::serving::jinja {

// Innermost last.
using Scopes = std::vector<std::vector<std::pair<std::string, Value>>>;
// Null where no scope has it.
const Value* Lookup(const Scopes& scopes, std::string_view name);

class MacroCaller {
 public:
  virtual ~MacroCaller() = default;
  virtual absl::StatusOr<Value> CallMacro(const Statement& macro, const Arguments& arguments) = 0;
};

class Evaluator {
 public:
  // All outlive it. `now`: what strftime_now tells, in UTC.
  Evaluator(const Scopes* scopes, Budget* budget, MacroCaller* macros, Time now)
      : scopes_(scopes), budget_(budget), macros_(macros), now_(now) {}
  // Errors name the line.
  absl::StatusOr<Value> Evaluate(const Expression& expression);

 private:
  absl::StatusOr<Value> Switch(const Expression& expression);
  absl::StatusOr<Value> NameOf(const std::string& name);
  absl::StatusOr<Value> ListOf(const Expression& expression);
  absl::StatusOr<Value> MapOf(const Expression& expression);
  absl::StatusOr<Value> Unary(const Expression& expression);
  absl::StatusOr<Value> Binary(const Expression& expression);
  absl::StatusOr<Value> Compared(const Expression& expression);
  absl::StatusOr<Value> Conditional(const Expression& expression);
  absl::StatusOr<Value> Sliced(const Expression& expression);
  absl::StatusOr<Arguments> ArgumentsOf(const Expression& expression);
  absl::StatusOr<Value> Call(const Expression& expression);
  absl::StatusOr<Value> CallBuiltin(const std::string& name, const Arguments& arguments);
  absl::StatusOr<Value> Part(const Expression& expression, size_t i) {
    return Evaluate(*expression.parts[i]);
  }

  const Scopes* scopes_;
  Budget* budget_;
  MacroCaller* macros_;
  Time now_;
  int depth_ = 0;
};

}  // namespace longrun::serving::jinja
