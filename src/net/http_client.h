// A small HTTP/1.1 client, blocking, one connection each; http:// and https:// (certificates are
// checked). For the command line and the benchmark client. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/http_server.h"

namespace longrun::net {

struct Url {
  bool tls = false;
  std::string host;
  int port = 80;
  std::string path = "/";  // with the query
};
absl::StatusOr<Url> ParseUrl(std::string_view text);

struct ClientOptions {
  double connect_seconds = 5;
  double read_seconds = 600;  // without a byte
  int64_t body_bytes = 64 << 20;
  bool verify_certificates = true;
};

class Client {
 public:
  Client(Url base, ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // The whole answer, whatever its status; an error only where there is none (refused, timed out,
  // cut off). The connection is kept for the next.
  absl::StatusOr<Response> Send(std::string method, std::string path, Headers headers,
                                std::string body);
  // The same with the body handed over as it arrives; false from `on_bytes` ends it.
  absl::StatusOr<Response> Stream(std::string method, std::string path, Headers headers,
                                  std::string body,
                                  const std::function<bool(std::string_view)>& on_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Splits a text/event-stream into the data of its events, however it was cut up.
class EventStream {
 public:
  // Calls `on_data` for each event that is now whole.
  void Feed(std::string_view bytes, const std::function<void(std::string_view)>& on_data);

 private:
  std::string pending_;  // of a line that is not whole
  std::string data_;     // of an event that is not
  bool has_data_ = false;
};

}  // namespace longrun::net
