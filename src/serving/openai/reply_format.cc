#include "serving/openai/reply_format.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace longrun::serving {
namespace {

using nlohmann::ordered_json;

std::string Dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}
std::string Quoted(const std::string& text) { return Dump(ordered_json(text)); }

// As JSON.
const char* FinishText(FinishReason reason, bool called = false) {
  if (reason == FinishReason::kNone) return "null";
  if (reason == FinishReason::kLength) return "\"length\"";
  return called ? "\"tool_calls\"" : "\"stop\"";
}

// An element of "tool_calls"; `in_stream`: with its index, and of its beginning alone the name.
std::string CallText(const CallPiece& call, bool in_stream) {
  std::string text = "{";
  if (in_stream) absl::StrAppend(&text, "\"index\":", call.index, ",");
  if (!call.name.empty())
    absl::StrAppend(&text, "\"id\":", Quoted(call.id), ",\"type\":\"function\",");
  absl::StrAppend(&text, "\"function\":{");
  if (!call.name.empty()) absl::StrAppend(&text, "\"name\":", Quoted(call.name), ",");
  absl::StrAppend(&text, "\"arguments\":", Quoted(call.arguments), "}}");
  return text;
}

std::string CallsText(const std::vector<CallPiece>& calls, bool in_stream) {
  std::string text = "\"tool_calls\":[";
  for (size_t i = 0; i < calls.size(); ++i)
    absl::StrAppend(&text, i == 0 ? "" : ",", CallText(calls[i], in_stream));
  return text + "]";
}

ordered_json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

using LogprobsMaker = decltype(ChatLogprobsText);

class Format : public ReplyFormat {
 public:
  Format(const ReplyHead& head, const model::Tokenizer* tokenizer, const std::string& object,
         const std::string& chunk_object, LogprobsMaker* logprobs)
      : head_(head), tokenizer_(tokenizer), logprobs_(logprobs) {
    const auto begin = [&](const std::string& kind) {
      return absl::StrCat("{\"id\":", Quoted(head.id), ",\"object\":", Quoted(kind),
                          ",\"created\":", head.created, ",\"model\":", Quoted(head.model),
                          ",\"choices\":[");
    };
    whole_head_ = begin(object);
    chunk_head_ = "data: " + begin(chunk_object);
    chunk_tail_ = head.usage_in_chunks ? "],\"usage\":null}\n\n" : "]}\n\n";
  }

  std::string UsageChunk(const Usage& usage) const override {
    return absl::StrCat(chunk_head_, "],\"usage\":", Dump(UsageJson(usage)), "}\n\n");
  }

  std::unique_ptr<LogprobsText> NewLogprobs() const override {
    return head_.logprobs ? logprobs_(tokenizer_) : nullptr;
  }

  std::string Whole(const std::vector<ChoiceReply>& choices, const Usage& usage) const override {
    std::string all = whole_head_;
    for (size_t i = 0; i < choices.size(); ++i) {
      absl::StrAppend(&all, i == 0 ? "" : ",", "{\"index\":", i, ",", Said(choices[i]),
                      ",\"logprobs\":");
      if (choices[i].logprobs) {
        choices[i].logprobs->TakeTo(&all);
      } else {
        all += "null";
      }
      absl::StrAppend(&all, ",\"finish_reason\":",
                      FinishText(choices[i].finish, !choices[i].calls.empty()), "}");
    }
    absl::StrAppend(&all, "],\"usage\":", Dump(UsageJson(usage)), "}");
    return all;
  }

 protected:
  std::string Event(std::string_view choice) const {
    return absl::StrCat(chunk_head_, std::string(choice), chunk_tail_);
  }
  // What a choice says as a member of its object.
  virtual std::string Said(const ChoiceReply& choice) const = 0;
  bool tools() const { return head_.tools; }
  static std::string NewOf(LogprobsText* logprobs) {
    std::string text;
    if (logprobs != nullptr && !logprobs->empty()) logprobs->TakeTo(&text);
    return text.empty() ? "null" : text;
  }

 private:
  const ReplyHead head_;
  const model::Tokenizer* const tokenizer_;
  LogprobsMaker* const logprobs_;
  std::string whole_head_, chunk_head_, chunk_tail_;
};

class ChatFormat : public Format {
 public:
  ChatFormat(const ReplyHead& head, const model::Tokenizer* tokenizer)
      : Format(head, tokenizer, "chat.completion", "chat.completion.chunk", ChatLogprobsText) {}

  std::string Chunk(int64_t choice, const Delta& delta, bool first, LogprobsText* logprobs,
                    const CallsSaid& calls) const override {
    std::string events;
    if (first) {
      events += One(choice,
                    absl::StrCat(R"({"role":"assistant","content":)", tools() ? "null}" : "\"\"}"),
                    "null", "null");
    }
    const std::string tokens = NewOf(logprobs);
    const bool calls_alone = !calls.pieces.empty() && delta.text.empty();
    if (!delta.text.empty() || (tokens != "null" && !calls_alone))
      events += One(choice, absl::StrCat("{\"content\":", Quoted(delta.text), "}"), tokens, "null");
    if (!calls.pieces.empty())
      events += One(choice, absl::StrCat("{", CallsText(calls.pieces, true), "}"),
                    calls_alone ? tokens : "null", "null");
    if (delta.finish != FinishReason::kNone)
      events += One(choice, "{}", "null", FinishText(delta.finish, calls.any));
    return events;
  }

 protected:
  std::string Said(const ChoiceReply& choice) const override {
    const bool calls_alone = choice.text.empty() && !choice.calls.empty();
    return absl::StrCat("\"message\":{\"role\":\"assistant\",\"content\":",
                        calls_alone ? "null" : Quoted(choice.text), ",\"refusal\":null",
                        choice.calls.empty() ? "" : "," + CallsText(choice.calls, false), "}");
  }

 private:
  std::string One(int64_t choice, std::string_view delta, std::string_view logprobs,
                  std::string_view finish) const {
    return Event(absl::StrCat("{\"index\":", choice, ",\"delta\":", std::string(delta),
                              ",\"logprobs\":", std::string(logprobs),
                              ",\"finish_reason\":", std::string(finish), "}"));
  }
};

class CompletionFormat : public Format {
 public:
  CompletionFormat(const ReplyHead& head, const model::Tokenizer* tokenizer)
      : Format(head, tokenizer, "text_completion", "text_completion", CompletionLogprobsText) {}

  std::string Chunk(int64_t choice, const Delta& delta, bool, LogprobsText* logprobs,
                    const CallsSaid&) const override {
    const std::string tokens = NewOf(logprobs);
    if (delta.text.empty() && tokens == "null" && delta.finish == FinishReason::kNone) return "";
    return Event(absl::StrCat("{\"text\":", Quoted(delta.text), ",\"index\":", choice,
                              ",\"logprobs\":", tokens,
                              ",\"finish_reason\":", FinishText(delta.finish), "}"));
  }

 protected:
  std::string Said(const ChoiceReply& choice) const override {
    return absl::StrCat("\"text\":", Quoted(choice.text));
  }
};

}  // namespace

size_t ChoiceReply::bytes() const {
  size_t bytes = text.size() + (logprobs == nullptr ? 0 : logprobs->bytes());
  if (reader != nullptr) bytes += reader->held_bytes();
  for (const CallPiece& call : calls)
    bytes += sizeof(CallPiece) + call.id.size() + call.name.size() + call.arguments.size();
  return bytes;
}

std::unique_ptr<ReplyFormat> ChatReply(const ReplyHead& head, const model::Tokenizer* tokenizer) {
  return std::make_unique<ChatFormat>(head, tokenizer);
}
std::unique_ptr<ReplyFormat> CompletionReply(const ReplyHead& head,
                                             const model::Tokenizer* tokenizer) {
  return std::make_unique<CompletionFormat>(head, tokenizer);
}

}  // namespace longrun::serving
