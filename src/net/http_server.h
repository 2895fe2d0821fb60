// An HTTP/1.1 server over TCP or TLS for handlers that answer now or later, whole or as a stream.
//
// The server runs threads of its own. A handler is called on one of them and must not
// block; it may keep its Responder and use it from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace longrun::net {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;  // "POST"
  std::string target;  // as it came: "/v1/models?x=1"
  std::string path;    // of it, percent-decoded: "/v1/models"
  std::string query;   // "x=1"
  Headers headers;
  std::string body;
  std::string peer;  // "127.0.0.1:40312"
  // Who asks, as the check of the head found; nothing where there was no such check.
  std::optional<std::string> party;

  // The first of that name, whatever the case; "" where there is none.
  std::string_view Header(std::string_view name) const;
};

struct Response {
  int status = 200;
  Headers headers;  // Content-Length, Date, Connection are the server's own
  std::string content_type = "application/json";
  std::string body;
};

// Answers one request, once: Send, or Begin, Write…, End. All calls are thread-safe, do not block,
// and after the client is gone do nothing. Destroyed without an answer, it sends a 500.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void Send(Response response) = 0;

  // A stream of chunks (chunked encoding; `body` is ignored).
  virtual void Begin(Response head) = 0;
  // False: the client is gone, or reads so slowly that more than the server's `stream_buffer_bytes`
  // (chunks larger than that aside) are unsent, upon which it was cut off. Whoever feeds the stream
  // should stop.
  virtual bool Write(std::string chunk) = 0;
  virtual void End() = 0;

  // So many bytes are held elsewhere for this answer, from now on until it is sent: they count with
  // those of its party that are not read yet. False: it is too much, and should be given up.
  virtual bool Hold(int64_t bytes) = 0;

  // `closed` is called once if the client goes away before the answer is complete; at once if it
  // has already.
  virtual void OnClosed(std::function<void()> closed) = 0;
};

using Handler = std::function<void(Request request, std::shared_ptr<Responder> responder)>;

// What a request's head alone tells, before its body is read.
struct HeadVerdict {
  // The answer (nobody's key, nothing there): a large body is not read. Nothing: it goes its way.
  std::optional<Response> refused;
  // Who asks, as far as memory and threads are shared out; "": nobody that is known.
  std::string party;
};
// Called on the threads of sockets; must be quick.
using HeadCheck = std::function<HeadVerdict(const Request& head)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any that is free
  int threads = 1;
  // Of handlers alone, so that a long one keeps no other request waiting (handler_queue.h); 0:
  // those above call them. (More threads for sockets would wake each other with every chunk of a
  // stream.)
  int handler_threads = 0;
  std::string certificate_file;  // PEM; with key_file: TLS (1.2 and up)
  std::string key_file;
  int64_t header_bytes = 32 << 10;
  int64_t body_bytes = 16 << 20;
  int64_t connections = 10'000;  // beyond: answered 503 and closed
  double header_seconds = 10;    // for a whole head to arrive, from its first byte (slow-loris)
  double body_seconds = 60;
  double idle_seconds = 75;   // kept alive between requests
  double write_seconds = 30;  // with bytes to send and none taken: cut off
  int64_t stream_buffer_bytes = 256 << 10;
  // Of requests until they are handled and answers until they are read, all connections together,
  // shared out fairly between parties (base/fair_account.h); beyond: 503.
  int64_t held_bytes = 128 << 20;

  // What connections take at the most, beside `held_bytes` and what handlers need.
  int64_t ConnectionBytes() const;
};

class Server {
 public:
  // Binds and listens; a port in use is an error that says which and what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       Handler handler, HeadCheck check = {});
  virtual ~Server() = default;  // closes everything at once
  virtual int port() const = 0;
  virtual int64_t connections() const = 0;
  virtual int64_t held_bytes() const = 0;
  // Accepts no more connections or requests, lets answers under way end within `seconds`, closes.
  virtual void Drain(double seconds) = 0;
};

}  // namespace longrun::net
