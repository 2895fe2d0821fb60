// A TCP connection that sends what no well-behaved client would. For tests; one thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace longrun::net {

class RawSocket {
 public:
  explicit RawSocket(int port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    const timeval patience{30, 0};  // so that a server that never answers fails the test
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~RawSocket() { Close(); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // What comes next, "" at the end.
  std::string Read() {
    char buffer[65536];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    return n <= 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }
  std::string ReadToEnd() {
    std::string all;
    while (true) {
      const std::string some = Read();
      if (some.empty()) return all;
      all += some;
    }
  }
  // Up to the first `mark`, or the end.
  std::string ReadUntil(std::string_view mark) {
    while (pending_.find(mark) == std::string::npos) {
      const std::string some = Read();
      if (some.empty()) break;
      pending_ += some;
    }
    const size_t at = pending_.find(mark);
    std::string taken = pending_.substr(0, at == std::string::npos ? at : at + mark.size());
    pending_.erase(0, taken.size());
    return taken;
  }

 private:
  int fd_ = -1;
  bool connected_ = false;
  std::string pending_;
};

}  // namespace longrun::net
