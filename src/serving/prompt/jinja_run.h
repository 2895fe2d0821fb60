// Runs a chat template: statements and variables in, marked text out. Pure; of any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "serving/prompt/jinja_parser.h"
#include "serving/prompt/jinja_value.h"
#include "serving/prompt/marked_text.h"

namespace longrun::serving::jinja {

struct RunLimits {
  int64_t work = 2'000'000;  // see Budget
  int64_t parts = 1 << 20;
  int64_t output_bytes = 16 << 20;
};

using Variables = std::vector<std::pair<std::string, Value>>;

// InvalidArgument: a mistake of the template (with its line) or what it said with raise_exception;
// ResourceExhausted: a limit.
absl::StatusOr<MarkedText> Run(const Block& block, const Variables& variables,
                               const RunLimits& limits, Time now);

}  // namespace longrun::serving::jinja
