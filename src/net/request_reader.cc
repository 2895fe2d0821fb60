#include "net/request_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longrun::net {

int64_t RequestReader::bytes() const {
  return static_cast<int64_t>(in_.size() + body_.body().size());
}

bool RequestReader::IsAwaited() const {
  return head_.expects_continue && in_.empty() && (head_.chunked || head_.content_length > 0);
}

RequestReader::Step RequestReader::Refuse(HttpError error) {
  error_ = std::move(error);
  return Step::kRefused;
}

RequestReader::Step RequestReader::Next() {
  if (stage_ == Stage::kIdle) {
    // Empty lines before a request are allowed for old clients' sake.
    while (in_.starts_with("\r\n")) in_.erase(0, 2);
    if (in_.empty()) return Step::kMore;
    stage_ = Stage::kHead;
    return Step::kHead;
  }
  if (stage_ == Stage::kHead) return ReadHead();
  if (bytes() > static_cast<int64_t>(kUnaskedBytes) && !std::exchange(told_large_, true)) {
    return Step::kLarge;
  }
  return head_.chunked ? ReadChunks() : ReadBody();
}

RequestReader::Step RequestReader::ReadHead() {
  const size_t from = scanned_ < 3 ? 0 : scanned_ - 3;
  const size_t end = in_.find("\r\n\r\n", from);
  // A head that ends with bare line feeds is refused by its parser, not waited for.
  const size_t bare = in_.find("\n\n", from);
  scanned_ = in_.size();
  const size_t size = std::min(end == std::string::npos ? end : end + 4,
                               bare == std::string::npos ? bare : bare + 2);
  const auto limit = static_cast<size_t>(options_.header_bytes);
  if (std::min(size, in_.size()) > limit) {
    return Refuse({431, absl::StrCat("the head is larger than ", limit, " bytes")});
  }
  if (size == std::string::npos) return Step::kMore;
  HttpError error = ParseRequestHead(std::string_view(in_).substr(0, size), &head_);
  in_.erase(0, size);
  if (error.status != 0) return Refuse(std::move(error));
  if (!head_.chunked && head_.content_length > options_.body_bytes) {
    return Refuse({413, absl::StrCat("the body is larger than ", options_.body_bytes, " bytes")});
  }
  stage_ = Stage::kBody;
  return Step::kBody;
}

RequestReader::Step RequestReader::ReadBody() {
  const auto length = static_cast<size_t>(head_.content_length);
  if (in_.size() < length) {
    if (told_large_) in_.reserve(length);  // rather than to double it as it grows
    return Step::kMore;
  }
  std::string rest = in_.substr(length);  // short: what was read at once with the body's end
  in_.resize(length);
  head_.request.body = std::exchange(in_, std::move(rest));
  return Step::kWhole;
}

RequestReader::Step RequestReader::ReadChunks() {
  HttpError error;
  const size_t taken = body_.Feed(in_, &error);
  in_.erase(0, taken);
  if (error.status != 0) return Refuse(std::move(error));
  if (!body_.done()) return Step::kMore;
  head_.request.body = std::exchange(body_.body(), {});
  return Step::kWhole;
}

RequestHead RequestReader::Take() {
  stage_ = Stage::kIdle;
  scanned_ = 0;
  told_large_ = false;
  body_ = ChunkedBody(options_.body_bytes);
  if (in_.empty()) Release(&in_);
  return std::exchange(head_, {});
}

void RequestReader::Drop() {
  Release(&in_);
  Release(&body_.body());
  Take();
}

}  // namespace longrun::net
