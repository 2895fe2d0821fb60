#include "net/request_head.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace longrun::net {
namespace {

constexpr size_t kMostHeaders = 100;
constexpr size_t kMostLineBytes = 4096;  // of a chunk's size line or a trailer
constexpr int64_t kMostTrailerBytes = 16384;

HttpError Bad(std::string message) { return {400, std::move(message)}; }

bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool Same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return absl::ascii_tolower(static_cast<unsigned char>(x)) ==
                  absl::ascii_tolower(static_cast<unsigned char>(y));
         });
}

// A list header such as Connection names `word`.
bool Lists(std::string_view value, std::string_view word) {
  while (true) {
    const size_t comma = value.find(',');
    if (Same(Trim(value.substr(0, comma)), word)) return true;
    if (comma == std::string_view::npos) return false;
    value.remove_prefix(comma + 1);
  }
}

// Digits alone: no sign, no space, nothing behind.
bool ParseLength(std::string_view text, int64_t* length) {
  if (text.empty() || text.size() > 18) return false;
  *length = 0;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
    *length = *length * 10 + (c - '0');
  }
  return true;
}

HttpError ParseRequestLine(std::string_view line, RequestHead* head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Bad("malformed request line");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method)) return Bad("malformed method");
  if (!version.starts_with("HTTP/")) return Bad("malformed request line");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return {505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
  }
  const bool plain = std::all_of(target.begin(), target.end(),
                                 [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!plain || target.empty()) return Bad("malformed request target");
  Request& request = head->request;
  request.method = method;
  request.target = target;
  std::string_view path = target;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!path.starts_with(scheme)) continue;
    const size_t slash = path.find('/', scheme.size());
    path = slash == std::string_view::npos ? std::string_view("/") : path.substr(slash);
  }
  if (path.front() != '/' && path != "*") return Bad("malformed request target");
  const size_t question = path.find('?');
  if (question != std::string_view::npos) request.query = path.substr(question + 1);
  if (!PercentDecode(path.substr(0, question), &request.path)) {
    return Bad("malformed percent-encoding in the request target");
  }
  head->http_1_0 = version == "HTTP/1.0";
  head->keep_alive = !head->http_1_0;
  return {};
}

HttpError ParseHeaderLine(std::string_view line, RequestHead* head) {
  if (line.front() == ' ' || line.front() == '\t') return Bad("folded header lines are refused");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Bad("a header line without a colon");
  const std::string_view name = line.substr(0, colon);
  if (!IsToken(name)) return Bad("malformed header name");
  const std::string_view value = Trim(line.substr(colon + 1));
  const bool clean = std::all_of(value.begin(), value.end(), [](unsigned char c) {
    return c == '\t' || (c >= 0x20 && c != 0x7f);
  });
  if (!clean) return Bad(absl::StrCat("control characters in header ", std::string(name)));
  if (head->request.headers.size() >= kMostHeaders) return {431, "too many headers"};
  head->request.headers.emplace_back(name, value);
  return {};
}

// What the headers say of the body and the connection.
HttpError ReadFraming(RequestHead* head) {
  bool has_length = false, has_coding = false, has_host = false;
  for (const auto& [name, value] : head->request.headers) {
    if (Same(name, "content-length")) {
      if (has_length) return Bad("Content-Length twice");
      has_length = true;
      if (!ParseLength(value, &head->content_length)) return Bad("malformed Content-Length");
    } else if (Same(name, "transfer-encoding")) {
      if (has_coding) return Bad("Transfer-Encoding twice");
      has_coding = true;
      if (!Same(value, "chunked")) return {501, "no Transfer-Encoding but chunked is understood"};
      head->chunked = true;
    } else if (Same(name, "host")) {
      if (has_host) return Bad("Host twice");
      has_host = true;
    } else if (Same(name, "connection")) {
      if (Lists(value, "close")) head->keep_alive = false;
      if (head->http_1_0 && Lists(value, "keep-alive")) head->keep_alive = true;
    } else if (Same(name, "expect")) {
      if (!Same(value, "100-continue")) return {417, "no expectation but 100-continue is met"};
      head->expects_continue = true;
    }
  }
  if (has_length && has_coding) return Bad("Content-Length beside Transfer-Encoding");
  if (has_coding && head->http_1_0) return Bad("Transfer-Encoding in HTTP/1.0");
  if (!has_host && !head->http_1_0) return Bad("no Host header");
  return {};
}

}  // namespace

HttpError ParseRequestHead(std::string_view text, RequestHead* head) {
  *head = {};
  bool first = true;
  while (true) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return Bad("the head does not end");
    if (end == 0 || text[end - 1] != '\r') return Bad("a line feed without its carriage return");
    const std::string_view line = text.substr(0, end - 1);
    text.remove_prefix(end + 1);
    if (line.find('\r') != std::string_view::npos) return Bad("a stray carriage return");
    if (line.empty() && !first) break;
    const HttpError error = first ? ParseRequestLine(line, head) : ParseHeaderLine(line, head);
    if (error.status != 0) return error;
    first = false;
  }
  return ReadFraming(head);
}

bool PercentDecode(std::string_view text, std::string* out) {
  out->clear();
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = digit(text[i + 1]), low = digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    out->push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

// ---- chunked bodies ----

// Gathers a line into line_; true once it is whole (without its CRLF).
bool ChunkedBody::TakeLine(std::string_view bytes, size_t* at, HttpError* error) {
  while (*at < bytes.size()) {
    const char c = bytes[(*at)++];
    if (c == '\n') {
      if (line_.empty() || line_.back() != '\r') {
        *error = Bad("a line feed without its carriage return in a chunked body");
        return false;
      }
      line_.pop_back();
      return true;
    }
    if (!line_.empty() && line_.back() == '\r') {
      *error = Bad("a stray carriage return in a chunked body");
      return false;
    }
    line_.push_back(c);
    if (line_.size() > kMostLineBytes) {
      *error = Bad("a line of a chunked body is too long");
      return false;
    }
  }
  return false;
}

void ChunkedBody::OnLine(HttpError* error) {
  if (state_ == State::kTrailer) {
    trailer_bytes_ += static_cast<int64_t>(line_.size());
    if (trailer_bytes_ > kMostTrailerBytes) *error = Bad("the trailers are too long");
    if (line_.empty()) state_ = State::kDone;
    return;
  }
  if (state_ == State::kDataEnd) {
    if (!line_.empty()) *error = Bad("a chunk is longer than its size");
    state_ = State::kSize;
    return;
  }
  const std::string_view size = std::string_view(line_).substr(0, line_.find(';'));
  if (size.empty() || size.size() > 15) {
    *error = Bad("malformed size of a chunk");
    return;
  }
  left_ = 0;
  for (const char c : size) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      *error = Bad("malformed size of a chunk");
      return;
    }
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    left_ = left_ * 16 + (lower <= '9' ? lower - '0' : lower - 'a' + 10);
  }
  if (left_ > limit_bytes_ - static_cast<int64_t>(body_.size())) {
    *error = {413, absl::StrCat("the body is larger than ", limit_bytes_, " bytes")};
    return;
  }
  state_ = left_ == 0 ? State::kTrailer : State::kData;
}

size_t ChunkedBody::Feed(std::string_view bytes, HttpError* error) {
  size_t at = 0;
  while (at < bytes.size() && state_ != State::kDone && error->status == 0) {
    if (state_ == State::kData) {
      const size_t take = std::min(bytes.size() - at, static_cast<size_t>(left_));
      body_.append(bytes.substr(at, take));
      at += take;
      left_ -= static_cast<int64_t>(take);
      if (left_ == 0) state_ = State::kDataEnd;
    } else if (TakeLine(bytes, &at, error)) {
      OnLine(error);
      line_.clear();
    }
  }
  return at;
}

}  // namespace longrun::net
