// The endpoints that need no generation: models, tokens, feedback, health, metrics.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "model/utf8.h"
#include "serving/openai/api_state.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

constexpr double kUtilisationSeconds = 10;
constexpr size_t kMostSamples = 64;
constexpr size_t kLongestFeedback = 64 << 10;
constexpr int64_t kMostJudgements = 32;  // of one completion

json ModelJson(const std::string& id, const ApiConfig& config, Time started) {
  return {{"id", id},
          {"object", "model"},
          {"created", started.us / 1'000'000},
          {"owned_by", "longrun"},
          {"max_model_len", config.context}};
}

// A choice's index, or the text of an answer (edited ones have no index).
void ReadPreferred(const char* key, int64_t choices, BodyFields* fields, json* record) {
  const json* value = fields->Find(key);
  if (value == nullptr) return;
  if (value->is_string()) {
    if (value->get_ref<const std::string&>().size() > kLongestFeedback)
      return fields->Fail(key, absl::StrCat("Invalid '", key, "': over 64 KiB."),
                          "string_above_max_length");
  } else if (!value->is_number_integer() || value->get<int64_t>() < 0 ||
             value->get<int64_t>() >= choices) {
    return fields->Fail(
        key, absl::StrCat("Invalid '", key, "': a text, or the index of one of the ", choices,
                          " choices, is right."));
  }
  (*record)[key] = *value;
}

json ReadFeedbackBody(const CompletionRecord& completion, BodyFields* fields) {
  json record = json::object();
  ReadPreferred("chosen", completion.choices, fields, &record);
  ReadPreferred("rejected", completion.choices, fields, &record);
  if (fields->Find("rating") != nullptr) {
    double rating = 0;
    fields->Double("rating", -1, 1, &rating);
    record["rating"] = rating;
  }
  if (fields->Find("choice") != nullptr) {
    int64_t choice = 0;
    fields->Int("choice", 0, completion.choices - 1, &choice);
    record["choice"] = choice;
  }
  for (const char* key : {"prompt", "comment"}) {
    std::string text;
    fields->String(key, &text);
    if (text.size() > kLongestFeedback)
      fields->Fail(key, absl::StrCat("Invalid '", key, "': over 64 KiB."),
                   "string_above_max_length");
    if (!text.empty()) record[key] = text;
  }
  const bool pair = record.contains("chosen") && record.contains("rejected");
  const bool half = record.contains("chosen") != record.contains("rejected");
  if (half || (!pair && !record.contains("rating")))
    fields->Fail("rating", "A 'rating' from -1 to 1, or 'chosen' and 'rejected', is needed.",
                 "missing_required_parameter");
  if (pair && record["chosen"] == record["rejected"])
    fields->Fail("rejected", "'chosen' and 'rejected' are the same.");
  return record;
}

}  // namespace

void Api::State::Models(const Exchange& exchange) {
  constexpr std::string_view kOne = "/v1/models/";
  const auto may_use = [&](const std::string& model) {
    return !exchange.tenant || config.tenants[*exchange.tenant].MayUse(model);
  };
  if (exchange.request.path.starts_with(kOne)) {
    const std::string id = exchange.request.path.substr(kOne.size());
    if (auto refused = CheckModel(exchange, id)) return exchange.Refuse(*refused);
    return exchange.SendJson(ModelJson(id, config, started));
  }
  json data = json::array();
  for (const std::string& model : config.models)
    if (may_use(model)) data.push_back(ModelJson(model, config, started));
  exchange.SendJson({{"object", "list"}, {"data", std::move(data)}});
}

void Api::State::Tokenize(Exchange exchange) {
  if (!Admit(&exchange, {})) return;
  json body;
  ApiError error;
  if (!ParseBody(config.limits, exchange.request.body, &body, &error))
    return exchange.Refuse(error);
  BodyFields fields(body, "", exchange.request.body);
  std::vector<TokenId> tokens;
  if (fields.Find("messages") != nullptr) {
    ChatRequest chat_request;
    chat_request.messages = ReadMessages(config.limits, &fields);
    chat_request.tools = ReadTools(config.limits, &fields);
    if (!fields.ok()) return exchange.Refuse(fields.error());
    if (auto refused = EncodeChat(std::move(chat_request).Prompt(), &tokens))
      return exchange.Refuse(*refused);
  } else {
    std::string prompt;
    bool begin = true;
    fields.String("prompt", &prompt);
    fields.Bool("add_special_tokens", &begin);
    if (fields.Find("prompt") == nullptr)
      fields.Fail("prompt", "A 'prompt' or 'messages' is needed.", "missing_required_parameter");
    if (!fields.ok()) return exchange.Refuse(fields.error());
    if (auto refused = Encode("prompt", prompt, &tokens, begin)) return exchange.Refuse(*refused);
  }
  exchange.SendJson(
      {{"tokens", tokens}, {"count", tokens.size()}, {"max_model_len", config.context}});
}

void Api::State::Detokenize(Exchange exchange) {
  if (!Admit(&exchange, {})) return;
  json body;
  ApiError error;
  if (!ParseBody(config.limits, exchange.request.body, &body, &error))
    return exchange.Refuse(error);
  BodyFields fields(body, "", exchange.request.body);
  const json* array = fields.Find("tokens");
  if (array == nullptr) {
    fields.Fail("tokens", "Missing required parameter: 'tokens'.", "missing_required_parameter");
  } else if (!array->is_array()) {
    fields.WrongType("tokens", "an array of token ids", *array);
  } else if (static_cast<int64_t>(array->size()) > config.context) {
    fields.Fail("tokens",
                absl::StrCat("Invalid 'tokens': ", array->size(), " of them; at most ",
                             config.context, " are right."),
                "context_length_exceeded");
  }
  if (!fields.ok()) return exchange.Refuse(fields.error());
  const auto tokens = ReadTokens(*array, "tokens", tokenizer->vocab_size(), &fields);
  if (!fields.ok()) return exchange.Refuse(fields.error());
  const auto bytes = tokenizer->Decode(tokens);
  if (!bytes.ok()) return exchange.Refuse(FromStatus(bytes.status()));
  model::Utf8Stream stream;
  std::string text = stream.Push(*bytes);
  exchange.SendJson({{"prompt", text + stream.Finish()}});
}

void Api::State::Feedback(Exchange exchange) {
  if (feedback == nullptr) {
    return exchange.Refuse(
        {.status = 404, .message = "This server keeps no feedback.", .code = "unknown_url"});
  }
  if (!Admit(&exchange, {})) return;
  json body;
  ApiError error;
  if (!ParseBody(config.limits, exchange.request.body, &body, &error))
    return exchange.Refuse(error);
  BodyFields fields(body, "", exchange.request.body);
  std::string id;
  fields.String("completion_id", &id);
  if (id.empty())
    fields.Fail("completion_id", "Missing required parameter: 'completion_id'.",
                "missing_required_parameter");
  if (!fields.ok()) return exchange.Refuse(fields.error());
  const auto completion = recent.Find(id, TenantName(exchange));
  if (!completion) {
    return exchange.Refuse({.status = 404,
                            .message = "You received no such completion, or too long ago.",
                            .param = "completion_id",
                            .code = "completion_not_found"});
  }
  json record = ReadFeedbackBody(*completion, &fields);
  if (!fields.ok()) return exchange.Refuse(fields.error());
  if (!recent.Judge(id, kMostJudgements)) {
    return exchange.Refuse({.status = 429,
                            .message = absl::StrCat("This completion has had ", kMostJudgements,
                                                    " judgements, as many as are kept."),
                            .type = "rate_limit_error",
                            .param = "completion_id",
                            .code = "too_much_feedback",
                            .should_retry = false});
  }
  const std::string feedback_id = "fb-" + RandomName(24);
  record["id"] = feedback_id;
  record["completion_id"] = id;
  record["tenant"] = completion->tenant;
  record["model"] = completion->model;
  record["time"] = FormatTime(Now());
  exchange.request.body = {};  // many may wait for the disk
  const bool taken = feedback->Add(record, [exchange, feedback_id, id](absl::Status written) {
    if (!written.ok()) return exchange.Refuse(FromStatus(absl::InternalError("")));
    exchange.SendJson({{"id", feedback_id}, {"object", "feedback"}, {"completion_id", id}});
  });
  if (taken) return;
  ApiError refusal = FromStatus(absl::UnavailableError("too much feedback waits"));
  if (feedback->full()) {
    refusal.message = "the server keeps no more feedback: its file is full";
    refusal.should_retry = false;
    refusal.retry_after_seconds.reset();
  }
  exchange.Refuse(refusal);
}

// One token, asked for as anybody would: health means that an answer can be made.
void Api::State::StartCanary() {
  if (canary.exchange(Canary::kRunning) == Canary::kRunning) return;
  GenerationRequest request;
  request.id = "canary-" + RandomName(16);
  request.prompt = {tokenizer->end_of_text().value_or(0)};
  request.max_tokens = 1;
  request.sampling.temperature = 0;
  const absl::Status submitted = engine->Submit(
      std::move(request), [self = shared_from_this()](const std::string&, const Delta& delta) {
        if (!delta.last) return;
        const bool passed =
            delta.finish == FinishReason::kStop || delta.finish == FinishReason::kLength;
        self->canary = passed ? Canary::kPassed : Canary::kFailed;
        if (!passed) log::error("the self-test made no token: {}", delta.error.ToString());
      });
  if (!submitted.ok()) {
    canary = Canary::kFailed;
    log::error("the self-test was refused: {}", submitted.ToString());
  }
}

void Api::State::Health(const Exchange& exchange) {
  const double stalled = engine->Stats().stalled_seconds;
  std::string reason;
  if (draining) {
    reason = "stopping";
  } else if (canary == Canary::kFailed) {
    reason = "the self-test failed; trying again";
    StartCanary();
  } else if (canary != Canary::kPassed) {
    reason = "starting: no token has been made yet";
  } else if (stalled >= config.stalled_seconds) {
    reason = absl::StrCat("no progress for ", static_cast<int64_t>(stalled), " s");
  }
  if (reason.empty()) return exchange.SendJson({{"status", "ok"}});
  exchange.Send(ToResponse(FromStatus(absl::UnavailableError(reason)),
                           {{"status", "unavailable"}, {"reason", reason}}));
}

Utilisation Api::State::RecentUtilisation(const EngineStats& stats) {
  const Time now = Now();
  const std::lock_guard lock(samples_mutex);
  // The newest sample that is old enough stays as the beginning of the time looked at.
  while (samples.size() >= 2 && (now - samples[1].first).seconds() >= kUtilisationSeconds)
    samples.pop_front();
  Utilisation recent_use;
  if (!samples.empty()) {
    recent_use = UtilisationBetween(samples.front().second, stats,
                                    (now - samples.front().first).seconds(), config.peak);
  }
  const bool due = samples.empty() || (now - samples.back().first).seconds() >= 1;
  if (due && samples.size() < kMostSamples) samples.emplace_back(now, stats);
  return recent_use;
}

void Api::State::Metrics(const Exchange& exchange) {
  MetricsInput input;
  input.model = config.models[0];
  input.stats = engine->Stats();
  input.peak = config.peak;
  input.utilisation = RecentUtilisation(input.stats);
  input.rate_limited_total = rate_limits.refused_total();
  if (config.http_connections) input.http_connections = config.http_connections();
  net::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = MetricsPage(input);
  exchange.Send(std::move(response));
}

void Api::State::Version(const Exchange& exchange) {
  exchange.SendJson({{"version", config.version}});
}

}  // namespace longrun::serving
