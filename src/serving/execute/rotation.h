// Frequencies of rotary positions under the scalings that Llama models use. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/status.h"
#include "serving/execute/model_config.h"

namespace longrun::serving {

// `theta`: rope_theta. `scaling`: the object rope_scaling of config.json, or null. Known:
// "default", "dynamic" (which within the context is the default), "linear" (Chen et al. 2023),
// "llama3" (Llama 3.1's smooth stretch of long waves) and "yarn" (Peng et al. 2023, §3). `context`:
// max_position_embeddings. InvalidArgument names the field.
absl::StatusOr<Rotation> MakeRotation(double theta, int64_t head_dim, int64_t context,
                                      const nlohmann::json& scaling);

}  // namespace longrun::serving
