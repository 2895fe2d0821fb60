// The head of an HTTP/1.1 request: read strictly, since what two programs on a path read
// differently is how requests are smuggled. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/http_server.h"

namespace longrun::net {

struct RequestHead {
  Request request;  // all but body and peer
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expects_continue = false;
  bool chunked = false;
  int64_t content_length = 0;
};

// What is answered where a head cannot be accepted.
struct HttpError {
  int status = 0;  // 0: none
  std::string message;
};

// `text`: from the request line up to and with the empty line. Refused: anything RFC 9112 does not
// allow, and of what it leaves open all that has been used to smuggle: bare line feeds, folded
// lines, space before a colon, Content-Length twice or beside Transfer-Encoding, codings other than
// chunked, control characters.
HttpError ParseRequestHead(std::string_view text, RequestHead* head);

// Decodes %XX; false where it is malformed or decodes to a zero byte.
bool PercentDecode(std::string_view text, std::string* out);

// The chunked body of a request, as its bytes come. Trailers are read and dropped.
class ChunkedBody {
 public:
  explicit ChunkedBody(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  // Takes from `bytes` what belongs to the body and says how much that was; `error` tells of a body
  // that is malformed (400) or too large (413).
  size_t Feed(std::string_view bytes, HttpError* error);
  bool done() const { return state_ == State::kDone; }
  std::string& body() { return body_; }
  const std::string& body() const { return body_; }

 private:
  enum class State { kSize, kData, kDataEnd, kTrailer, kDone };
  bool TakeLine(std::string_view bytes, size_t* at, HttpError* error);
  void OnLine(HttpError* error);

  int64_t limit_bytes_;
  State state_ = State::kSize;
  std::string line_;
  int64_t left_ = 0;
  int64_t trailer_bytes_ = 0;
  std::string body_;
};

}  // namespace longrun::net
