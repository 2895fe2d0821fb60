// Request heads and chunked bodies: no input crashes the parser, none is read with two lengths, and
// a body is the same however its bytes are cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/http_client.h"
#include "net/request_head.h"

namespace {

using longrun::net::ChunkedBody;
using longrun::net::HttpError;
using longrun::net::RequestHead;

void CheckHead(std::string_view text) {
  RequestHead head;
  if (longrun::net::ParseRequestHead(text, &head).status != 0) return;
  LR_CHECK(!head.request.method.empty());
  LR_CHECK(!head.request.target.empty());
  LR_CHECK(!(head.chunked && head.content_length != 0));
  LR_CHECK(head.content_length >= 0);
  for (const auto& [name, value] : head.request.headers) {
    LR_CHECK(name.find_first_of(" \t\r\n:") == std::string::npos && !name.empty());
    LR_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
}

struct Unchunked {
  int status = 0;
  bool done = false;
  size_t taken = 0;
  std::string body;
};

Unchunked Unchunk(std::string_view text, size_t step) {
  constexpr int64_t kLimitBytes = 4096;
  Unchunked result;
  ChunkedBody chunks(kLimitBytes);
  while (result.taken < text.size() && !chunks.done()) {
    HttpError error;
    const std::string_view piece = text.substr(result.taken, step);
    const size_t taken = chunks.Feed(piece, &error);
    LR_CHECK_LE(taken, piece.size());
    result.taken += taken;
    result.status = error.status;
    if (error.status != 0) return result;
    LR_CHECK(taken == piece.size() || chunks.done());
  }
  LR_CHECK_LE(static_cast<int64_t>(chunks.body().size()), kLimitBytes);
  result.done = chunks.done();
  result.body = chunks.body();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckHead(text);
  const size_t end = text.find("\r\n\r\n");
  const std::string_view rest = end == std::string_view::npos ? text : text.substr(end + 4);
  if (end != std::string_view::npos) CheckHead(text.substr(0, end + 4));
  const Unchunked whole = Unchunk(rest, std::max<size_t>(rest.size(), 1));
  const Unchunked cut = Unchunk(rest, 1 + size % 7);
  LR_CHECK_EQ(whole.status, cut.status);
  LR_CHECK_EQ(whole.done, cut.done);
  if (whole.status == 0) {
    LR_CHECK_EQ(whole.taken, cut.taken);
    LR_CHECK_EQ(whole.body, cut.body);
  }
  (void)longrun::net::ParseUrl(text);
  longrun::net::EventStream().Feed(text, [](std::string_view) {});
  return 0;
}
