// What a request must be so that the model and the cache can do it. Pure; any thread.
#pragma once

#include "base/status.h"
#include "model/tokenizer.h"
#include "serving/engine/engine_config.h"
#include "serving/request.h"

namespace longrun::serving {

// InvalidArgument names the field, the value and the bound.
absl::Status CheckRequest(const GenerationRequest& request, const EngineConfig& config,
                          const ModelShape& shape, int64_t vocab_size);

}  // namespace longrun::serving
