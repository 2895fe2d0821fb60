// Cuts the bytes of one connection into requests as they come, and holds what is not whole yet.
// Pure; belongs to its connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http_server.h"
#include "net/request_head.h"

namespace longrun::net {

// Empties it and gives its memory back, which assigning an empty string does not.
inline void Release(std::string* bytes) { std::string().swap(*bytes); }

class RequestReader {
 public:
  // Of a body that is read whoever sends it: a wrong key then costs no new connection.
  static constexpr size_t kUnaskedBytes = 64 << 10;

  // The options outlive it.
  explicit RequestReader(const ServerOptions& options)
      : options_(options), body_(options.body_bytes) {}

  void Add(std::string_view bytes) { in_.append(bytes); }

  enum class Step {
    kMore,     // nothing until more bytes come
    kHead,     // a request begins
    kBody,     // its head() is read
    kLarge,    // more than kUnaskedBytes of its body are here; once for a request
    kWhole,    // Take it
    kRefused,  // for error(); where the next request begins is not known
  };
  // What comes next; called until it says kMore, kWhole or kRefused.
  Step Next();

  const RequestHead& head() const { return head_; }
  // The client waits to be told to send its body.
  bool IsAwaited() const;
  RequestHead Take();
  const HttpError& error() const { return error_; }
  void Drop();  // all that is here

  bool empty() const { return in_.empty(); }
  int64_t bytes() const;

 private:
  Step Refuse(HttpError error);
  Step ReadHead();
  Step ReadBody();
  Step ReadChunks();

  enum class Stage { kIdle, kHead, kBody };
  const ServerOptions& options_;
  Stage stage_ = Stage::kIdle;
  std::string in_;
  size_t scanned_ = 0;  // of in_, for the end of the head
  RequestHead head_;
  bool told_large_ = false;
  ChunkedBody body_;
  HttpError error_;
};

}  // namespace longrun::net
