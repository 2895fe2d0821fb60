// Deltas to JSON: the chat form and the completions form, whole and in chunks. Pure; the tokenizer
// outlives a format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "serving/request.h"

namespace longrun::serving {

// One choice so far.
struct ChoiceReply {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<Logprobs> logprobs;
  FinishReason finish = FinishReason::kNone;
};

struct ReplyHead {
  std::string id;       // "chatcmpl-…"
  int64_t created = 0;  // Unix seconds
  std::string model;
  bool logprobs = false;
  bool usage_in_chunks = false;  // each chunk has "usage": null, the last the figures
};

class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;
  // Server-sent events ("data: …\n\n") of a delta, "" where it says nothing; `first`: of its
  // choice; `characters`: those of the choice's tokens before.
  virtual std::string Chunk(int64_t choice, const Delta& delta, bool first,
                            int64_t characters) const = 0;
  virtual std::string Whole(const std::vector<ChoiceReply>& choices, const Usage& usage) const = 0;
  virtual std::string UsageChunk(const Usage& usage) const = 0;
  // How many the tokens' texts have: their text may come later, or never.
  virtual int64_t Characters(const std::vector<Logprobs>& tokens) const = 0;
};

std::unique_ptr<ReplyFormat> ChatReply(const ReplyHead& head, const model::Tokenizer* tokenizer);
std::unique_ptr<ReplyFormat> CompletionReply(const ReplyHead& head,
                                             const model::Tokenizer* tokenizer);
using ReplyMaker = decltype(ChatReply);

// Code points of valid UTF-8.
int64_t CharacterCount(std::string_view text);

}  // namespace longrun::serving
