// `serve`: a model behind the OpenAI HTTP API until a signal ends it.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/time.h"

namespace longrun::worker {

struct ServeOptions {
  std::string model_dir;  // or the name of a run
  std::string runs_dir;   // where runs lie; "": there are none
  std::string name;       // how clients call the model; "": the folder's name
  std::string host = "127.0.0.1";
  int port = 8000;  // 0: any that is free

  std::string device = "cpu";    // cpu, torch:cpu, cuda, cuda:N (serve_device.h)
  std::string weights = "auto";  // auto (as in the files), f32, bf16, f16, int8
  std::string cache = "auto";    // auto (as the weights), f32, bf16, int8
  int threads = 0;               // 0: one for each core
  int64_t context = 0;           // tokens of the longest sequence; 0: the model's own
  int64_t memory_bytes = 0;      // weights, activations and cache; 0: nine tenths of what is left
  int64_t block_tokens = 16;
  int64_t max_sequences = 256;
  int64_t max_step_tokens = 2048;
  bool share_prefixes = true;
  int64_t speculate = 0;  // tokens drafted from the prompt at most

  Duration first_token_goal = Duration::Millis(1000);
  Duration inter_token_goal = Duration::Millis(100);
  Duration max_wait = Duration::Seconds(30);
  Duration drain = Duration::Seconds(30);

  std::string api_keys;              // file of tenants; "": anybody may ask
  std::string certificate, key;      // PEM files; both or neither
  std::string chat_template;         // a built-in name or a file; "": the model's own
  std::string tool_format = "auto";  // of calls in answers: tool_format.h; auto: by the template
  std::string feedback_dir;          // "": MODEL_DIR/feedback

  bool plan_only = false;
  bool json = false;
};

// Returns when it was told to stop and everything under way has ended. Errors: InvalidArgument and
// NotFound for what the user gave, ResourceExhausted for a model that does not fit.
absl::Status Serve(const ServeOptions& options);

}  // namespace longrun::worker
