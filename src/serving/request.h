// What somebody asks of a model, and what comes back, in tokens: the vocabulary that the HTTP side
// and the engine share. Plain values; a request never changes once it is submitted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/tokenizer.h"

namespace longrun::serving {

using model::TokenId;

// How the next token is chosen from the logits, in the order of the fields' use: bias, penalties,
// constraint, temperature, top_k, top_p, min_p.
struct SamplingConfig {
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to the logits
  double frequency_penalty = 0;                       // times how often the token was generated
  double presence_penalty = 0;                        // once for each token that was generated
  double repetition_penalty = 1;  // divides positive logits, multiplies negative; prompt included
  double temperature = 1;         // 0: the likeliest token, always; ties go to the smaller token
  int64_t top_k = 0;              // 0: all
  double top_p = 1;
  double min_p = 0;           // relative to the likeliest token's probability
  uint64_t seed = 0;          // token i of choice c is a function of (seed, c, i) and the logits
  int64_t top_logprobs = -1;  // -1: no logprobs; n: those of the chosen token and the n likeliest

  absl::Status Validate(int64_t vocab_size) const;
};

// How calls of tools are written: `before` {"name": "f", ARGUMENTS: {…}} `between` {…} … `after`.
struct CallSyntax {
  std::string before, between, after;
  std::string arguments_key;  // "arguments"
  int64_t most = 1;           // calls; at least one is written
};

// Of Format::json_schema for kToolCalls.
inline constexpr char kContentKey[] = "response_format";

// What the generated text must be.
enum class FormatKind { kText, kJsonObject, kJsonSchema, kToolCalls };
struct Format {
  FormatKind kind = FormatKind::kText;
  // For kJsonSchema the schema; for kToolCalls {"$defs": {…}} with each tool's name and the schema
  // of its arguments, whose references begin with "#/$defs/NAME"; beside it, at kContentKey, that
  // of a text that may come instead of calls, if one may.
  std::string json_schema;
  CallSyntax calls;           // for kToolCalls
  std::vector<TokenId> ends;  // tokens that may end the text beside the end of text
};

struct GenerationRequest {
  std::string id;      // the caller's name for it: "chatcmpl-…"; unique among those under way
  std::string tenant;  // who was authenticated; "" where nobody needs to be. Salts the prefix cache
  int32_t priority = 0;         // higher goes first
  std::vector<TokenId> prompt;  // at least one token
  int64_t max_tokens = 16;      // of each choice; prompt + max_tokens <= the model's context
  int64_t choices = 1;          // `n`: continuations of the same prompt
  SamplingConfig sampling;
  Format format;
  std::vector<std::string> stop;     // ends the text where one appears; not part of it
  std::vector<TokenId> stop_tokens;  // the same, of tokens
  bool ignore_end_of_text = false;   // goes on past it, for benchmarks
  std::vector<TokenId> shown;        // special tokens that do have a text, their own
  bool prompt_logprobs = false;      // completions with echo
  bool embedding = false;  // nothing is generated: the mean of the last layer's normed states
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

// Of one generated (or, echoed, prompt) token: after bias and penalties, before temperature.
struct Logprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // by falling probability
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;      // of the prompt, found in the prefix cache
  int64_t completion_tokens = 0;  // of all choices
};

// What a step made for one choice. `text` is whole UTF-8: a character that spans tokens waits for
// its end, and text that may yet become a stop string waits until that is settled.
struct Delta {
  int64_t choice = 0;
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<Logprobs> logprobs;  // one for each of `tokens`, where asked for
  FinishReason finish = FinishReason::kNone;
  absl::Status error;                     // for kError
  std::vector<Logprobs> prompt_logprobs;  // with the first delta of choice 0; [0] has no value
  std::vector<float> embedding;           // [d_model], for an embedding request
  // With the last delta of the last choice:
  bool last = false;
  Usage usage;
};

// Called from one thread of the engine's, in order; must not block (the engine is a step ahead at
// most), and may call Engine::Cancel.
using OnDelta = std::function<void(const std::string& id, Delta delta)>;

}  // namespace longrun::serving
