#include "serving/openai/reply_format.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "model/utf8.h"

namespace longrun::serving {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string Dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}
std::string Quoted(const std::string& text) { return Dump(ordered_json(text)); }

const char* FinishName(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}
ordered_json FinishJson(FinishReason reason) {
  if (reason == FinishReason::kNone) return nullptr;
  return FinishName(reason);
}

ordered_json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

// Clients take logprobs for numbers: what is impossible is told as OpenAI does.
double Finite(float logprob) {
  return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0;
}

// A token's bytes as text: those that are no whole character alone are U+FFFD.
std::string TokenText(const model::Tokenizer& tokenizer, TokenId token) {
  if (token < 0 || token >= tokenizer.vocab_size()) return "";
  model::Utf8Stream stream;
  std::string text = stream.Push(tokenizer.TokenBytes(token));
  return text + stream.Finish();
}

ordered_json ChatLogprob(const model::Tokenizer& tokenizer, const TokenLogprob& of) {
  ordered_json bytes = ordered_json::array();
  if (of.token >= 0 && of.token < tokenizer.vocab_size()) {
    for (const char byte : tokenizer.TokenBytes(of.token))
      bytes.push_back(static_cast<uint8_t>(byte));
  }
  return {{"token", TokenText(tokenizer, of.token)},
          {"logprob", Finite(of.logprob)},
          {"bytes", std::move(bytes)}};
}

ordered_json ChatLogprobs(const model::Tokenizer& tokenizer, const std::vector<Logprobs>& all) {
  ordered_json content = ordered_json::array();
  for (const Logprobs& one : all) {
    ordered_json entry = ChatLogprob(tokenizer, one.chosen);
    entry["top_logprobs"] = ordered_json::array();
    for (const TokenLogprob& top : one.top)
      entry["top_logprobs"].push_back(ChatLogprob(tokenizer, top));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// `characters`: of the text before. A logprob that is NaN (the first token of an echoed prompt) is
// null.
ordered_json CompletionLogprobs(const model::Tokenizer& tokenizer, const std::vector<Logprobs>& all,
                                int64_t characters) {
  ordered_json tokens = ordered_json::array(), values = tokens, tops = tokens, offsets = tokens;
  for (const Logprobs& one : all) {
    const std::string text = TokenText(tokenizer, one.chosen.token);
    tokens.push_back(text);
    offsets.push_back(characters);
    characters += CharacterCount(text);
    if (std::isnan(one.chosen.logprob)) {
      values.push_back(nullptr);
      tops.push_back(nullptr);
      continue;
    }
    values.push_back(Finite(one.chosen.logprob));
    ordered_json top = ordered_json::object();
    for (const TokenLogprob& candidate : one.top)
      top[TokenText(tokenizer, candidate.token)] = Finite(candidate.logprob);
    tops.push_back(std::move(top));
  }
  return {{"text_offset", std::move(offsets)},
          {"token_logprobs", std::move(values)},
          {"tokens", std::move(tokens)},
          {"top_logprobs", std::move(tops)}};
}

class Format : public ReplyFormat {
 public:
  Format(const ReplyHead& head, const model::Tokenizer* tokenizer, const std::string& object,
         const std::string& chunk_object)
      : head_(head), tokenizer_(tokenizer), object_(object) {
    chunk_head_ = absl::StrCat("data: {\"id\":", Quoted(head.id),
                               ",\"object\":", Quoted(chunk_object), ",\"created\":", head.created,
                               ",\"model\":", Quoted(head.model), ",\"choices\":[");
    chunk_tail_ = head.usage_in_chunks ? "],\"usage\":null}\n\n" : "]}\n\n";
  }

  std::string UsageChunk(const Usage& usage) const override {
    return absl::StrCat(chunk_head_, "],\"usage\":", Dump(UsageJson(usage)), "}\n\n");
  }

  int64_t Characters(const std::vector<Logprobs>& tokens) const override {
    int64_t characters = 0;
    for (const Logprobs& one : tokens)
      characters += CharacterCount(TokenText(*tokenizer_, one.chosen.token));
    return characters;
  }

 protected:
  std::string Event(std::string_view choice) const {
    return absl::StrCat(chunk_head_, std::string(choice), chunk_tail_);
  }
  std::string WholeOf(ordered_json choices, const Usage& usage) const {
    return Dump({{"id", head_.id},
                 {"object", object_},
                 {"created", head_.created},
                 {"model", head_.model},
                 {"choices", std::move(choices)},
                 {"usage", UsageJson(usage)}});
  }

  ReplyHead head_;
  const model::Tokenizer* tokenizer_;

 private:
  std::string object_;
  std::string chunk_head_, chunk_tail_;
};

class ChatFormat : public Format {
 public:
  ChatFormat(const ReplyHead& head, const model::Tokenizer* tokenizer)
      : Format(head, tokenizer, "chat.completion", "chat.completion.chunk") {}

  std::string Chunk(int64_t choice, const Delta& delta, bool first, int64_t) const override {
    std::string events;
    if (first) events += One(choice, R"({"role":"assistant","content":""})", "null", "null");
    const bool has_logprobs = head_.logprobs && !delta.logprobs.empty();
    if (!delta.text.empty() || has_logprobs) {
      events +=
          One(choice, absl::StrCat("{\"content\":", Quoted(delta.text), "}"),
              has_logprobs ? Dump(ChatLogprobs(*tokenizer_, delta.logprobs)) : "null", "null");
    }
    if (delta.finish != FinishReason::kNone)
      events += One(choice, "{}", "null", absl::StrCat("\"", FinishName(delta.finish), "\""));
    return events;
  }

  std::string Whole(const std::vector<ChoiceReply>& choices, const Usage& usage) const override {
    ordered_json all = ordered_json::array();
    for (size_t i = 0; i < choices.size(); ++i) {
      all.push_back(
          {{"index", i},
           {"message", {{"role", "assistant"}, {"content", choices[i].text}, {"refusal", nullptr}}},
           {"logprobs",
            head_.logprobs ? ChatLogprobs(*tokenizer_, choices[i].logprobs) : ordered_json()},
           {"finish_reason", FinishJson(choices[i].finish)}});
    }
    return WholeOf(std::move(all), usage);
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
      : Format(head, tokenizer, "text_completion", "text_completion") {}

  std::string Chunk(int64_t choice, const Delta& delta, bool first,
                    int64_t characters) const override {
    const bool has_logprobs = head_.logprobs && !delta.logprobs.empty();
    if (delta.text.empty() && !has_logprobs && delta.finish == FinishReason::kNone) return "";
    const std::string logprobs =
        has_logprobs ? Dump(CompletionLogprobs(*tokenizer_, delta.logprobs, characters)) : "null";
    return Event(absl::StrCat("{\"text\":", Quoted(delta.text), ",\"index\":", choice,
                              ",\"logprobs\":", logprobs,
                              ",\"finish_reason\":", Dump(FinishJson(delta.finish)), "}"));
  }

  std::string Whole(const std::vector<ChoiceReply>& choices, const Usage& usage) const override {
    ordered_json all = ordered_json::array();
    for (size_t i = 0; i < choices.size(); ++i) {
      all.push_back(
          {{"text", choices[i].text},
           {"index", i},
           {"logprobs", head_.logprobs ? CompletionLogprobs(*tokenizer_, choices[i].logprobs, 0)
                                       : ordered_json()},
           {"finish_reason", FinishJson(choices[i].finish)}});
    }
    return WholeOf(std::move(all), usage);
  }
};

}  // namespace

std::unique_ptr<ReplyFormat> ChatReply(const ReplyHead& head, const model::Tokenizer* tokenizer) {
  return std::make_unique<ChatFormat>(head, tokenizer);
}
std::unique_ptr<ReplyFormat> CompletionReply(const ReplyHead& head,
                                             const model::Tokenizer* tokenizer) {
  return std::make_unique<CompletionFormat>(head, tokenizer);
}

int64_t CharacterCount(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace longrun::serving
