#include "net/http_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/time.h"
#include "net/request_head.h"

namespace longrun::net {
namespace {

constexpr size_t kMostHeadBytes = 256 << 10;

bool Same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

std::string OpensslError() {
  char text[256] = "unknown error";
  const unsigned long error = ERR_get_error();  // NOLINT: OpenSSL's own type
  if (error != 0) ERR_error_string_n(error, text, sizeof text);
  return text;
}

// A connection, plain or TLS, whose every wait is bounded.
class Wire {
 public:
  Wire() = default;
  ~Wire() { Close(); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  bool open() const { return fd_ >= 0; }

  void Close() {
    if (ssl_ != nullptr) SSL_free(ssl_);
    if (context_ != nullptr) SSL_CTX_free(context_);
    if (fd_ >= 0) ::close(fd_);
    ssl_ = nullptr;
    context_ = nullptr;
    fd_ = -1;
  }

  absl::Status Connect(const Url& url, const ClientOptions& options) {
    Close();
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error =
        ::getaddrinfo(url.host.c_str(), absl::StrCat(url.port).c_str(), &hints, &found);
    if (error != 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot find ", url.host, ": ", ::gai_strerror(error)));
    }
    absl::Status status = absl::UnavailableError(absl::StrCat("no address for ", url.host));
    for (const addrinfo* a = found; a != nullptr && fd_ < 0; a = a->ai_next) {
      status = ConnectTo(*a, url, options.connect_seconds);
    }
    ::freeaddrinfo(found);
    LR_RETURN_IF_ERROR(status);
    return url.tls ? StartTls(url, options) : absl::OkStatus();
  }

  absl::Status Write(std::string_view bytes, double seconds) {
    while (!bytes.empty()) {
      if (ssl_ != nullptr) {
        const int n = SSL_write(ssl_, bytes.data(),
                                static_cast<int>(std::min<size_t>(bytes.size(), 1 << 20)));
        if (n > 0) {
          bytes.remove_prefix(static_cast<size_t>(n));
          continue;
        }
        LR_RETURN_IF_ERROR(AwaitTls(n, seconds));
        continue;
      }
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        bytes.remove_prefix(static_cast<size_t>(n));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        LR_RETURN_IF_ERROR(Await(POLLOUT, seconds));
      } else if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat("the connection broke: ", strerror(errno)));
      }
    }
    return absl::OkStatus();
  }

  // 0: the other side closed.
  absl::StatusOr<size_t> Read(char* to, size_t size, double seconds) {
    while (true) {
      if (ssl_ != nullptr) {
        const int n = SSL_read(ssl_, to, static_cast<int>(size));
        if (n > 0) return static_cast<size_t>(n);
        if (SSL_get_error(ssl_, n) == SSL_ERROR_ZERO_RETURN) return 0;
        LR_RETURN_IF_ERROR(AwaitTls(n, seconds));
        continue;
      }
      const ssize_t n = ::recv(fd_, to, size, 0);
      if (n >= 0) return static_cast<size_t>(n);
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        LR_RETURN_IF_ERROR(Await(POLLIN, seconds));
      } else if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat("the connection broke: ", strerror(errno)));
      }
    }
  }

 private:
  absl::Status ConnectTo(const addrinfo& address, const Url& url, double seconds) {
    fd_ = ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
    const int yes = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    int error = ::connect(fd_, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      const absl::Status ready = Await(POLLOUT, seconds);
      socklen_t size = sizeof error;
      ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
      if (!ready.ok()) error = ETIMEDOUT;
    }
    if (error == 0) return absl::OkStatus();
    Close();
    return absl::UnavailableError(
        absl::StrCat("cannot reach ", url.host, ":", url.port, ": ", strerror(error)));
  }

  absl::Status StartTls(const Url& url, const ClientOptions& options) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
    SSL_CTX_set_default_verify_paths(context_);
    SSL_CTX_set_verify(context_, options.verify_certificates ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       nullptr);
    ssl_ = SSL_new(context_);
    SSL_set_tlsext_host_name(ssl_, url.host.c_str());
    if (options.verify_certificates) SSL_set1_host(ssl_, url.host.c_str());
    SSL_set_fd(ssl_, fd_);
    while (true) {
      const int n = SSL_connect(ssl_);
      if (n == 1) return absl::OkStatus();
      LR_RETURN_IF_ERROR(AwaitTls(n, options.connect_seconds));
    }
  }

  absl::Status Await(short events, double seconds) const {  // NOLINT: poll's own type
    pollfd entry{fd_, events, 0};
    const int n = ::poll(&entry, 1, static_cast<int>(seconds * 1000));
    if (n == 0) {
      return absl::DeadlineExceededError(absl::StrCat("no answer for ", seconds, " s"));
    }
    return absl::OkStatus();
  }

  absl::Status AwaitTls(int result, double seconds) {
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_WANT_READ:
        return Await(POLLIN, seconds);
      case SSL_ERROR_WANT_WRITE:
        return Await(POLLOUT, seconds);
    }
    const auto verified = SSL_get_verify_result(ssl_);
    if (verified != X509_V_OK && (SSL_get_verify_mode(ssl_) & SSL_VERIFY_PEER) != 0) {
      return absl::UnavailableError(absl::StrCat(
          "the server's certificate is not trusted: ", X509_verify_cert_error_string(verified),
          "; with SSL_CERT_FILE=FILE in the environment those in FILE are"));
    }
    return absl::UnavailableError(absl::StrCat("TLS failed: ", OpensslError()));
  }

  int fd_ = -1;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
};

// What the head of an answer says.
struct AnswerHead {
  Response response;
  bool chunked = false;
  int64_t length = -1;  // -1: until the connection ends
  bool keep_alive = true;
};

bool ParseAnswerHead(std::string_view text, AnswerHead* head) {
  *head = {};
  head->response.content_type.clear();
  const size_t first = text.find("\r\n");
  const std::string_view line = text.substr(0, first);
  if (!line.starts_with("HTTP/1.") || line.size() < 12) return false;
  head->keep_alive = line[7] == '1';
  const auto [end, error] =
      std::from_chars(line.data() + 9, line.data() + 12, head->response.status);
  if (error != std::errc() || end != line.data() + 12) return false;
  text.remove_prefix(first + 2);
  while (!text.starts_with("\r\n")) {
    const size_t stop = text.find("\r\n");
    const std::string_view header = text.substr(0, stop);
    text.remove_prefix(stop + 2);
    const size_t colon = header.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view name = header.substr(0, colon);
    std::string_view value = header.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (Same(name, "content-length")) {
      std::from_chars(value.data(), value.data() + value.size(), head->length);
    } else if (Same(name, "transfer-encoding")) {
      head->chunked = Same(value, "chunked");
    } else if (Same(name, "connection")) {
      if (Same(value, "close")) head->keep_alive = false;
      if (Same(value, "keep-alive")) head->keep_alive = true;
    } else if (Same(name, "content-type")) {
      head->response.content_type = value;
    }
    head->response.headers.emplace_back(name, value);
  }
  return true;
}

}  // namespace

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  Url url;
  const std::string all(text);
  const auto wrong = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", all, "\" is no URL; write for example http://127.0.0.1:8000"));
  };
  if (text.starts_with("https://")) {
    url.tls = true;
    url.port = 443;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else if (text.find("://") != std::string_view::npos) {
    return wrong();
  }
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) url.path = text.substr(slash);
  text = text.substr(0, slash);
  // A colon within brackets belongs to an IPv6 address.
  const size_t bracket = text.rfind(']');
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
    if (error != std::errc() || end != digits.data() + digits.size() || url.port < 1 ||
        url.port > 65535) {
      return wrong();
    }
    text = text.substr(0, colon);
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (text.empty() || text.find_first_of(" \r\n\t@") != std::string_view::npos) return wrong();
  url.host = text;
  return url;
}

struct Client::State {
  Url base;
  ClientOptions options;
  Wire wire;
  std::string in;  // read and not used

  // More bytes into `in`; false at the end of the connection.
  absl::StatusOr<bool> Fill() {
    char bytes[16384];
    LR_ASSIGN_OR_RETURN(const size_t n, wire.Read(bytes, sizeof bytes, options.read_seconds));
    in.append(bytes, n);
    return n > 0;
  }

  absl::StatusOr<AnswerHead> ReadHead() {
    while (true) {
      size_t end = in.find("\r\n\r\n");
      while (end == std::string::npos) {
        if (in.size() > kMostHeadBytes) return absl::DataLossError("the answer's head is endless");
        LR_ASSIGN_OR_RETURN(const bool more, Fill());
        if (!more) return absl::UnavailableError("the server closed the connection");
        end = in.find("\r\n\r\n");
      }
      AnswerHead head;
      if (!ParseAnswerHead(std::string_view(in).substr(0, end + 4), &head)) {
        return absl::DataLossError("what answers there does not speak HTTP/1.1");
      }
      in.erase(0, end + 4);
      if (head.response.status >= 200) return head;  // others only announce one
    }
  }

  // Hands over the body; true: all of it.
  absl::StatusOr<bool> ReadBody(const AnswerHead& head, bool no_body,
                                const std::function<bool(std::string_view)>& on_bytes) {
    const int status = head.response.status;
    if (no_body || status == 204 || status == 304) return true;
    ChunkedBody chunks(std::numeric_limits<int64_t>::max());
    int64_t left = head.length;
    while (true) {
      if (head.chunked) {
        HttpError error;
        in.erase(0, chunks.Feed(in, &error));
        if (error.status != 0) return absl::DataLossError(error.message);
        const std::string part = std::exchange(chunks.body(), "");
        if (!part.empty() && !on_bytes(part)) return false;
        if (chunks.done()) return true;
      } else {
        const size_t take = left < 0 ? in.size() : std::min(in.size(), static_cast<size_t>(left));
        if (take > 0 && !on_bytes(std::string_view(in).substr(0, take))) return false;
        in.erase(0, take);
        if (left >= 0) left -= static_cast<int64_t>(take);
        if (left == 0) return true;
      }
      LR_ASSIGN_OR_RETURN(const bool more, Fill());
      if (more) continue;
      if (!head.chunked && left < 0) return true;
      return absl::DataLossError("the answer was cut short");
    }
  }

  absl::StatusOr<Response> Try(const std::string& request, bool no_body, bool* heard,
                               const std::function<bool(std::string_view)>& on_bytes) {
    LR_RETURN_IF_ERROR(wire.Write(request, options.read_seconds));
    LR_ASSIGN_OR_RETURN(AnswerHead head, ReadHead());
    *heard = true;
    LR_ASSIGN_OR_RETURN(const bool whole, ReadBody(head, no_body, on_bytes));
    if (!whole || !head.keep_alive || (!head.chunked && head.length < 0)) wire.Close();
    return std::move(head.response);
  }
};

Client::Client(Url base, ClientOptions options) : state_(std::make_unique<State>()) {
  state_->base = std::move(base);
  state_->options = options;
}
Client::~Client() = default;

absl::StatusOr<Response> Client::Send(std::string method, std::string path, Headers headers,
                                      std::string body) {
  std::string received;
  bool too_large = false;
  const int64_t limit = state_->options.body_bytes;
  auto response = Stream(std::move(method), std::move(path), std::move(headers), std::move(body),
                         [&](std::string_view bytes) {
                           too_large = static_cast<int64_t>(received.size() + bytes.size()) > limit;
                           if (!too_large) received += bytes;
                           return !too_large;
                         });
  if (too_large) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the answer is larger than ", limit, " bytes"));
  }
  if (response.ok()) response->body = std::move(received);
  return response;
}

absl::StatusOr<Response> Client::Stream(std::string method, std::string path, Headers headers,
                                        std::string body,
                                        const std::function<bool(std::string_view)>& on_bytes) {
  State& state = *state_;
  const bool usual = state.base.port == (state.base.tls ? 443 : 80);
  const bool bracket = state.base.host.find(':') != std::string::npos;
  std::string request =
      absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: ", bracket ? "[" : "", state.base.host,
                   bracket ? "]" : "", usual ? "" : absl::StrCat(":", state.base.port), "\r\n");
  for (const auto& [name, value] : headers) absl::StrAppend(&request, name, ": ", value, "\r\n");
  if (!body.empty() || method == "POST" || method == "PUT") {
    absl::StrAppend(&request, "Content-Length: ", body.size(), "\r\n");
  }
  absl::StrAppend(&request, "\r\n", body);
  // A kept connection may have been closed meanwhile; then the request was not taken.
  bool fresh = !state.wire.open();
  while (true) {
    if (fresh) {
      state.in.clear();
      LR_RETURN_IF_ERROR(state.wire.Connect(state.base, state.options));
    }
    bool heard = false;
    auto response = state.Try(request, method == "HEAD", &heard, on_bytes);
    if (response.ok()) return response;
    state.wire.Close();
    if (fresh || heard || !absl::IsUnavailable(response.status())) return response.status();
    fresh = true;
  }
}

void EventStream::Feed(std::string_view bytes,
                       const std::function<void(std::string_view)>& on_data) {
  pending_ += bytes;
  size_t at = 0;
  while (true) {
    const size_t end = pending_.find('\n', at);
    if (end == std::string::npos) break;
    std::string_view line = std::string_view(pending_).substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      if (has_data_) on_data(data_);
      data_.clear();
      has_data_ = false;
    } else if (line.starts_with("data:")) {
      line.remove_prefix(line.starts_with("data: ") ? 6 : 5);
      if (has_data_) data_ += '\n';
      data_ += line;
      has_data_ = true;
    }
  }
  pending_.erase(0, at);
}

}  // namespace longrun::net
