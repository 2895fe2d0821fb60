// What went wrong, in the form that OpenAI's clients understand:
// {"error":{"message":…,"type":…,"param":…,"code":…}}. Plain values.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/status.h"
#include "net/http_server.h"

namespace longrun::serving {

struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;                          // "": null
  std::string code;                           // "": null
  std::optional<double> retry_after_seconds;  // Retry-After (whole, rounded up) and retry-after-ms
  // x-should-retry; unset: false where the wait is over a minute, which clients do not wait (they
  // would try again at once).
  std::optional<bool> should_retry;
};

ApiError BadRequest(std::string param, std::string message, std::string code = "invalid_value");

// Of Engine::Submit or of a delta: ResourceExhausted 429, Unavailable 503, InvalidArgument 400,
// others 500 (whose message is not shown: it is the operator's).
ApiError FromStatus(const absl::Status& status);

// `beside`: an object of what stands next to "error".
std::string ErrorBody(const ApiError& error,
                      const nlohmann::json& beside = nlohmann::json::object());
net::Response ToResponse(const ApiError& error,
                         const nlohmann::json& beside = nlohmann::json::object());

}  // namespace longrun::serving
