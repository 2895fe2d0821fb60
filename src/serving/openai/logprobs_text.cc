#include "serving/openai/logprobs_text.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "serving/openai/json_text.h"

namespace longrun::serving {
namespace {

// Clients take logprobs for numbers: what is impossible is told as OpenAI does.
void AppendLogprob(float logprob, std::string* to) {
  AppendNumber(std::isfinite(logprob) ? logprob : -9999.0f, to);
}

// A token's bytes; none of those beyond the tokenizer's (a padded vocabulary's).
std::string_view BytesOf(const model::Tokenizer& tokenizer, TokenId token) {
  return token < 0 || token >= tokenizer.vocab_size() ? "" : tokenizer.TokenBytes(token);
}

// A token's bytes as text: those that are no whole character alone are U+FFFD.
void AppendToken(const model::Tokenizer& tokenizer, TokenId token, std::string* to) {
  const std::string_view bytes = BytesOf(tokenizer, token);
  if (model::IsValidUtf8(bytes)) return AppendQuoted(bytes, to);
  model::Utf8Stream stream;
  std::string text = stream.Push(bytes);
  AppendQuoted(text + stream.Finish(), to);
}

class ChatLogprobs final : public LogprobsText {
 public:
  explicit ChatLogprobs(const model::Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  void Add(const std::vector<Logprobs>& tokens) override {
    for (const Logprobs& one : tokens) {
      content_ += content_.empty() ? "" : ",";
      AppendEntry(one.chosen);
      content_ += ",\"top_logprobs\":[";
      for (const TokenLogprob& top : one.top) {
        content_ += &top == one.top.data() ? "" : ",";
        AppendEntry(top);
        content_ += '}';
      }
      content_ += "]}";
    }
  }
  void AddEcho(std::string_view, const std::vector<Logprobs>& tokens) override { Add(tokens); }
  bool empty() const override { return content_.empty(); }
  size_t bytes() const override { return content_.size(); }
  void TakeTo(std::string* to) override {
    absl::StrAppend(to, "{\"content\":[", content_, "],\"refusal\":null}");
    content_.clear();
  }

 private:
  // Without its closing brace.
  void AppendEntry(const TokenLogprob& of) {
    content_ += "{\"token\":";
    AppendToken(*tokenizer_, of.token, &content_);
    content_ += ",\"logprob\":";
    AppendLogprob(of.logprob, &content_);
    content_ += ",\"bytes\":[";
    const std::string_view bytes = BytesOf(*tokenizer_, of.token);
    for (size_t i = 0; i < bytes.size(); ++i) {
      absl::StrAppend(&content_, i == 0 ? "" : ",", static_cast<unsigned char>(bytes[i]));
    }
    content_ += ']';
  }

  const model::Tokenizer* tokenizer_;
  std::string content_;
};

class CompletionLogprobs final : public LogprobsText {
 public:
  explicit CompletionLogprobs(const model::Tokenizer* tokenizer)
      : tokenizer_(tokenizer), offset_of_(tokenizer) {}

  void Add(const std::vector<Logprobs>& tokens) override {
    for (const Logprobs& one : tokens) {
      if (!offsets_.empty()) {
        for (std::string* list : {&offsets_, &values_, &tokens_, &tops_}) list->push_back(',');
      }
      absl::StrAppend(&offsets_, offset_of_.Next(one.chosen.token));
      AppendToken(*tokenizer_, one.chosen.token, &tokens_);
      if (std::isnan(one.chosen.logprob)) {  // the first of an echoed prompt has none
        values_ += "null";
        tops_ += "null";
      } else {
        AppendLogprob(one.chosen.logprob, &values_);
        AppendTops(one.top);
      }
    }
  }

  void AddEcho(std::string_view text, const std::vector<Logprobs>& tokens) override {
    TextOffsets whole(tokenizer_);
    for (const Logprobs& one : tokens) whole.Next(one.chosen.token);
    whole.EndText();
    const bool blank_before = whole.characters() == CharacterCount(text) + 1;
    offset_of_ = TextOffsets(tokenizer_, blank_before ? -1 : 0);
    Add(tokens);
    offset_of_.EndText();
  }

  bool empty() const override { return offsets_.empty(); }
  size_t bytes() const override {
    return offsets_.size() + values_.size() + tokens_.size() + tops_.size();
  }

  void TakeTo(std::string* to) override {
    absl::StrAppend(to, "{\"text_offset\":[", offsets_, "],\"token_logprobs\":[", values_);
    absl::StrAppend(to, "],\"tokens\":[", tokens_, "],\"top_logprobs\":[", tops_, "]}");
    for (std::string* list : {&offsets_, &values_, &tokens_, &tops_}) list->clear();
  }

 private:
  // By the tokens' texts; of tokens with the same text (halves of characters) the likeliest.
  void AppendTops(const std::vector<TokenLogprob>& tops) {
    tops_ += '{';
    std::vector<std::string> seen;
    for (const TokenLogprob& top : tops) {
      std::string token;
      AppendToken(*tokenizer_, top.token, &token);
      if (std::find(seen.begin(), seen.end(), token) != seen.end()) continue;
      tops_ += seen.empty() ? "" : ",";
      absl::StrAppend(&tops_, token, ":");
      AppendLogprob(top.logprob, &tops_);
      seen.push_back(std::move(token));
    }
    tops_ += '}';
  }

  const model::Tokenizer* tokenizer_;
  TextOffsets offset_of_;
  std::string offsets_, values_, tokens_, tops_;
};

}  // namespace

int64_t TextOffsets::Next(TokenId token) {
  const std::string_view bytes =
      token >= 0 && token < tokenizer_->vocab_size() && !tokenizer_->IsSpecial(token)
          ? tokenizer_->TokenBytes(token)
          : "";
  const bool begins_character = !bytes.empty() && (bytes[0] & 0xC0) != 0x80;
  if (begins_character) EndText();  // what waits for its end will not get it
  const int64_t offset = std::max<int64_t>(0, characters_);
  characters_ += CharacterCount(utf8_.Push(bytes));
  return offset;
}

void TextOffsets::EndText() { characters_ += CharacterCount(utf8_.Finish()); }

std::unique_ptr<LogprobsText> ChatLogprobsText(const model::Tokenizer* tokenizer) {
  return std::make_unique<ChatLogprobs>(tokenizer);
}
std::unique_ptr<LogprobsText> CompletionLogprobsText(const model::Tokenizer* tokenizer) {
  return std::make_unique<CompletionLogprobs>(tokenizer);
}

int64_t CharacterCount(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace longrun::serving
