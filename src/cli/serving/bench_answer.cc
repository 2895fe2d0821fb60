#include "cli/serving/bench_answer.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kBeginBytes = 300;

// The message of {"error": {"message": …}}, or "".
std::string ErrorMessage(const Json& json) {
  if (!json.is_object() || !json.contains("error")) return "";
  const Json& error = json["error"];
  if (error.is_null()) return "";
  if (error.is_string()) return error.get<std::string>();
  if (!error.is_object()) return "an error without words";
  const auto message = error.find("message");
  return message != error.end() && message->is_string() ? message->get<std::string>()
                                                        : error.dump();
}

// Whether a chunk's first choice carries text.
bool HasText(const Json& json) {
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty()) return false;
  const Json& choice = (*choices)[0];
  if (!choice.is_object()) return false;
  const auto filled = [](const Json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() && !it->get_ref<const std::string&>().empty();
  };
  if (filled(choice, "text")) return true;
  const auto delta = choice.find("delta");
  return delta != choice.end() && delta->is_object() &&
         (filled(*delta, "content") || filled(*delta, "reasoning_content"));
}

}  // namespace

void StreamedAnswer::Feed(std::string_view bytes, double seconds) {
  if (begin_.size() < kBeginBytes) begin_ += bytes.substr(0, kBeginBytes - begin_.size());
  events_.Feed(bytes, [&](std::string_view data) { OnEvent(data, seconds); });
}

void StreamedAnswer::OnEvent(std::string_view data, double seconds) {
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  const Json json = Json::parse(data, nullptr, false);
  if (!json.is_object()) {
    error_ = "an event that is no JSON object";
    return;
  }
  if (std::string message = ErrorMessage(json); !message.empty()) error_ = std::move(message);
  if (HasText(json)) chunks_.push_back(seconds);
  const auto usage = json.find("usage");
  if (usage == json.end() || !usage->is_object()) return;
  const auto count = [&](const char* key) {
    const auto it = usage->find(key);
    return it != usage->end() && it->is_number_integer() ? it->get<int64_t>() : int64_t{0};
  };
  prompt_tokens_ = count("prompt_tokens");
  output_tokens_ = count("completion_tokens");
}

void StreamedAnswer::Finish(int status, RequestOutcome& outcome) const {
  if (status != 200) {
    outcome.error = absl::StrCat("HTTP ", status);
    outcome.detail = ErrorMessage(Json::parse(begin_, nullptr, false));
    if (outcome.detail.empty()) outcome.detail = begin_;
    return;
  }
  if (!error_.empty() || !done_) {
    outcome.error = error_.empty() ? "stream without [DONE]" : "error within the stream";
    outcome.detail = error_;
    return;
  }
  outcome.counted_by_server = output_tokens_ >= 0;
  outcome.prompt_tokens = prompt_tokens_;
  outcome.output_tokens =
      outcome.counted_by_server ? output_tokens_ : static_cast<int64_t>(chunks_.size());
  outcome.first = chunks_.empty() ? outcome.end : chunks_.front();
  for (size_t i = 1; i < chunks_.size(); ++i) outcome.gaps.push_back(chunks_[i] - chunks_[i - 1]);
}

}  // namespace longrun::cli
