// How much one request may ask for.
#pragma once

#include <cstdint>

namespace longrun::serving {

struct RequestLimits {
  int64_t values = 1 << 20;  // JSON values of a body, token ids among them
  int64_t keys = 1 << 16;    // of all its objects
  int64_t choices = 16;      // n
  int64_t prompts = 64;      // of one completions request
  int64_t inputs = 2048;     // of one embeddings request, as OpenAI's
  int64_t sequences = 64;    // prompts × n
  int64_t messages = 4096;   // of a chat
  int64_t prompt_bytes = 4 << 20;
  int64_t stop_strings = 16;
  int64_t stop_bytes = 256;  // of each
  int64_t stop_tokens = 64;
  int64_t logit_bias = 1024;  // entries
  int64_t top_logprobs = 20;
  int64_t schema_bytes = 64 << 10;
  int64_t template_variable_bytes = 64 << 10;  // of chat_template_kwargs, as JSON
};

}  // namespace longrun::serving
