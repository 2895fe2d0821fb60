// Deltas to JSON: the chat form and the completions form, whole and in chunks. Pure; the tokenizer
// outlives a format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "serving/openai/logprobs_text.h"
#include "serving/openai/tool_call_reader.h"
#include "serving/request.h"

namespace longrun::serving {

// One choice so far.
struct ChoiceReply {
  std::string text;
  std::unique_ptr<LogprobsText> logprobs;  // null where nobody asked for them
  FinishReason finish = FinishReason::kNone;
  std::unique_ptr<ToolCallReader> reader;  // null where no tools may be called
  std::vector<CallPiece> calls;            // each whole as far as it has come
  size_t bytes() const;
};

struct ReplyHead {
  std::string id;       // "chatcmpl-…"
  int64_t created = 0;  // Unix seconds
  std::string model;
  bool logprobs = false;
  bool usage_in_chunks = false;  // each chunk has "usage": null, the last the figures
  bool tools = false;            // calls may be made: content is null where there is none
};

// What a delta says of calls.
struct CallsSaid {
  std::vector<CallPiece> pieces;
  bool any = false;  // of its choice, so far
};

class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;
  // Of a new choice; null where nobody asked.
  virtual std::unique_ptr<LogprobsText> NewLogprobs() const = 0;
  // Server-sent events ("data: …\n\n") of a delta, "" where it says nothing; `first`: of its
  // choice; `logprobs`: what is new is taken out of them; may be null.
  virtual std::string Chunk(int64_t choice, const Delta& delta, bool first, LogprobsText* logprobs,
                            const CallsSaid& calls = {}) const = 0;
  virtual std::string Whole(const std::vector<ChoiceReply>& choices, const Usage& usage) const = 0;
  virtual std::string UsageChunk(const Usage& usage) const = 0;
};

std::unique_ptr<ReplyFormat> ChatReply(const ReplyHead& head, const model::Tokenizer* tokenizer);
std::unique_ptr<ReplyFormat> CompletionReply(const ReplyHead& head,
                                             const model::Tokenizer* tokenizer);
using ReplyMaker = decltype(ChatReply);

}  // namespace longrun::serving
