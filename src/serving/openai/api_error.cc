#include "serving/openai/api_error.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "serving/engine/engine.h"

namespace longrun::serving {

using nlohmann::json;

constexpr double kLongestWaitSeconds = 60;  // that OpenAI's clients take from Retry-After

ApiError BadRequest(std::string param, std::string message, std::string code) {
  return {.status = 400,
          .message = std::move(message),
          .param = std::move(param),
          .code = std::move(code)};
}

ApiError FromStatus(const absl::Status& status) {
  std::string message(status.message());
  if (message.empty()) message = "the server cannot take this request now; try again";
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return BadRequest("", message);
    case absl::StatusCode::kResourceExhausted:
      return {.status = 429,
              .message = message,
              .type = "rate_limit_error",
              .code = "engine_overloaded",
              .retry_after_seconds = RetryAfterSeconds(status)};
    case absl::StatusCode::kUnavailable:
      return {.status = 503,
              .message = message,
              .type = "server_error",
              .code = "unavailable",
              .retry_after_seconds = 1};
    default:
      return {.status = 500,
              .message = "the server met an error; it has been logged",
              .type = "server_error",
              .code = "internal_error"};
  }
}

std::string ErrorBody(const ApiError& error, const json& beside) {
  const auto or_null = [](const std::string& text) { return text.empty() ? json() : json(text); };
  json body = beside;
  body["error"] = {{"message", error.message},
                   {"type", error.type},
                   {"param", or_null(error.param)},
                   {"code", or_null(error.code)}};
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

net::Response ToResponse(const ApiError& error, const json& beside) {
  net::Response response;
  response.status = error.status;
  response.body = ErrorBody(error, beside);
  if (error.retry_after_seconds) {
    const double seconds = std::clamp(*error.retry_after_seconds, 0.0, 1e6);
    response.headers.emplace_back("Retry-After",
                                  absl::StrCat(std::max<int64_t>(1, std::ceil(seconds))));
    response.headers.emplace_back("retry-after-ms",
                                  absl::StrCat(static_cast<int64_t>(std::ceil(seconds * 1e3))));
  }
  std::optional<bool> should_retry = error.should_retry;
  if (!should_retry && error.retry_after_seconds.value_or(0) > kLongestWaitSeconds)
    should_retry = false;
  if (should_retry)
    response.headers.emplace_back("x-should-retry", *should_retry ? "true" : "false");
  return response;
}

}  // namespace longrun::serving
