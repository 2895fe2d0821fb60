// How a refusal carries the seconds that RetryAfterSeconds reads.
#pragma once

#include "base/status.h"

namespace longrun::serving {

absl::Status RetryAfter(absl::Status status, double seconds);

}  // namespace longrun::serving
