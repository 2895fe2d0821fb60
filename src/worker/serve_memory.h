// What a serving process takes beside weights, a step and the cache of keys and values: each part
// by the bound that its owner keeps to. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "net/http_server.h"
#include "serving/engine/engine_config.h"
#include "serving/openai/request_limits.h"
#include "serving/schedule/memory_plan.h"

namespace longrun::worker {

struct ProcessMemory {
  int64_t program_bytes = 0;  // measured, tokenizer and all, before the model is opened
  net::ServerOptions listen;
  serving::RequestLimits limits;
  serving::EngineConfig engine;
  int64_t text_bytes = 0;  // of the longest text that is encoded
  int64_t threads = 1;     // that sample
};

std::vector<serving::MemoryQuestion::Part> PartsOf(const ProcessMemory& process);

}  // namespace longrun::worker
