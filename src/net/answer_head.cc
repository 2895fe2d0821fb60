// How answers begin: the status line, the headers, the form of errors.
#include <ctime>

#include "absl/strings/str_cat.h"
#include "net/connection.h"

namespace longrun::net {
namespace {

const char* ReasonOf(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
  }
  return "Unknown";
}

// RFC 9110, section 5.6.7.
std::string HttpDate(int64_t unix_seconds) {
  const std::time_t now = unix_seconds;
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

// Header values come from handlers, which may have them from clients.
std::string Clean(std::string value) {
  for (char& c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return value;
}

}  // namespace

std::string HeadOf(const Response& response, bool keep_alive, Framing framing) {
  std::string head = absl::StrCat("HTTP/1.1 ", response.status, " ", ReasonOf(response.status),
                                  "\r\nDate: ", HttpDate(WallClock().Now().us / 1'000'000), "\r\n");
  if (!response.content_type.empty() && response.status != 204) {
    absl::StrAppend(&head, "Content-Type: ", Clean(response.content_type), "\r\n");
  }
  for (const auto& [name, value] : response.headers) {
    absl::StrAppend(&head, name, ": ", Clean(value), "\r\n");
  }
  if (framing == Framing::kChunked) {
    head += "Transfer-Encoding: chunked\r\n";
  } else if (framing == Framing::kLength && response.status != 204) {
    absl::StrAppend(&head, "Content-Length: ", response.body.size(), "\r\n");
  }
  absl::StrAppend(&head, "Connection: ", keep_alive ? "keep-alive" : "close", "\r\n\r\n");
  return head;
}

Response ErrorResponse(const HttpError& error) {
  Response response;
  response.status = error.status;
  std::string message;
  for (const char c : error.message) {
    if (c == '"' || c == '\\') message += '\\';
    message += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  response.body = absl::StrCat("{\"error\":{\"message\":\"", message, "\",\"type\":\"",
                               error.status >= 500 ? "server_error" : "invalid_request_error",
                               "\",\"param\":null,\"code\":null}}");
  return response;
}

Response BusyResponse() {
  Response response = ErrorResponse(
      {503,
       "your requests and unread answers hold as much memory as they leave to others; try again"});
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace longrun::net
