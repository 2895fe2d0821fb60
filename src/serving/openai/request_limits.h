// How much one request may ask for.
#pragma once

#include <algorithm>
#include <cstdint>

#include "serving/prompt/prompt_encoder.h"

namespace longrun::serving {

struct RequestLimits {
  int64_t values = 1 << 18;  // JSON values of a body, token ids among them
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
  int64_t tools = 128;                         // of a chat, as OpenAI's; and calls of one message
  int64_t tool_bytes = 256 << 10;              // of all of them, as JSON
  int64_t tool_values = 10'000;                // keys and values of all of them
  int64_t argument_values = 10'000;            // of all calls in the messages
  int64_t calls = 64;                          // that one answer may make

  // A JSON value without its text: with its place in an array that grew, and a text's own object.
  static constexpr int64_t kBytesOfValue = 112;
  static constexpr int64_t kBytesOfKey = 160;
  static constexpr int64_t kBytesToCompile = 16 << 20;  // a schema of the most states
  // A key or a value of tools and calls: with its key in order, and as the template has it.
  static constexpr int64_t kBytesOfToolValue = 512;
  // What handling one request takes at the most, beside its body of `body_bytes`: the body's values
  // and texts, once more as they are read, `text_bytes` of them as tokens, a schema.
  int64_t HandlingBytes(int64_t body_bytes, int64_t text_bytes) const {
    return std::min(values, body_bytes) * kBytesOfValue + std::min(keys, body_bytes) * kBytesOfKey +
           2 * body_bytes + std::min(text_bytes, body_bytes) * PromptEncoder::kBytesOfByte +
           std::min(tool_values + argument_values, body_bytes) * kBytesOfToolValue +
           kBytesToCompile;
  }
};

}  // namespace longrun::serving
