#include "training/rendezvous.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "absl/strings/str_cat.h"

namespace longrun::training {
namespace {

// A message: kind, length of the key, length of the value (32 bits each, network order), both
// texts. Kinds: s set, g get (answered once the key is there), a add, c check, d delete, n count of
// keys.
constexpr size_t kHead = 9;
constexpr uint32_t kKeyLimit = 4096;
constexpr uint32_t kValueLimit = 16 << 20;
constexpr size_t kGroupsKept = 8;

std::string Message(char kind, const std::string& key, const std::string& value) {
  std::string out(kHead, '\0');
  out[0] = kind;
  const uint32_t lengths[2] = {htonl(static_cast<uint32_t>(key.size())),
                               htonl(static_cast<uint32_t>(value.size()))};
  memcpy(out.data() + 1, lengths, sizeof lengths);
  return out + key + value;
}

void Lengths(const char* head, uint32_t* key, uint32_t* value) {
  uint32_t lengths[2];
  memcpy(lengths, head + 1, sizeof lengths);
  *key = ntohl(lengths[0]);
  *value = ntohl(lengths[1]);
}

std::string GroupOf(const std::string& key) { return key.substr(0, key.find('/')); }

void NoDelay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

}  // namespace

struct RendezvousServer::Connection {
  int fd = -1;
  std::string in, out;
  std::string waiting_for;  // key of an unanswered get
  bool closed = false;
};

absl::StatusOr<std::unique_ptr<RendezvousServer>> RendezvousServer::Listen(uint16_t port) {
  std::unique_ptr<RendezvousServer> server(new RendezvousServer);
  const auto failed = [&] {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on port ", port, ": ", strerror(errno)));
  };
  if (pipe2(server->wake_, O_CLOEXEC) != 0) return failed();
  server->listener_ = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_storage address{};
  socklen_t size = sizeof(sockaddr_in);
  const int one = 1, zero = 0;
  if (server->listener_ >= 0) {
    // Both kinds of addresses on one socket.
    setsockopt(server->listener_, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    auto* any = reinterpret_cast<sockaddr_in6*>(&address);
    any->sin6_family = AF_INET6;
    any->sin6_port = htons(port);
    size = sizeof(sockaddr_in6);
  } else {
    server->listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    auto* any = reinterpret_cast<sockaddr_in*>(&address);
    any->sin_family = AF_INET;
    any->sin_port = htons(port);
  }
  setsockopt(server->listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(server->listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(server->listener_, 1024) != 0 ||
      getsockname(server->listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return failed();
  }
  server->port_ =
      ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                          : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

RendezvousServer::~RendezvousServer() {
  if (thread_.joinable()) {
    close(std::exchange(wake_[1], -1));
    thread_.join();
  }
  for (const int fd : {listener_, wake_[0], wake_[1]}) {
    if (fd >= 0) close(fd);
  }
}

void RendezvousServer::Run() {
  while (true) {
    std::vector<pollfd> entries = {{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const auto& c : connections_) {
      entries.push_back({c->fd, static_cast<short>(c->out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    }
    if (poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) break;
    if (entries[0].revents != 0) break;
    for (size_t i = 0; i + 2 < entries.size(); ++i) {
      if (entries[i + 2].revents != 0) Read(connections_[i].get());
    }
    std::erase_if(connections_, [](const auto& c) {
      if (c->closed) close(c->fd);
      return c->closed;
    });
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      NoDelay(fd);
      connections_.push_back(std::make_unique<Connection>());
      connections_.back()->fd = fd;
    }
  }
  for (const auto& c : connections_) close(c->fd);
}

void RendezvousServer::Read(Connection* c) {
  char bytes[16384];
  const ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    c->closed = true;
    return;
  }
  if (n > 0) c->in.append(bytes, static_cast<size_t>(n));
  while (!c->closed && Handle(c)) {
  }
  Answer(c, 0, "");  // whatever the socket takes of what is left
}

// One whole request out of the input; false when there is none.
bool RendezvousServer::Handle(Connection* c) {
  if (c->in.size() < kHead || !c->waiting_for.empty()) return false;
  uint32_t key_size = 0, value_size = 0;
  Lengths(c->in.data(), &key_size, &value_size);
  if (key_size == 0 || key_size > kKeyLimit || value_size > kValueLimit) {
    c->closed = true;
    return false;
  }
  if (c->in.size() < kHead + key_size + value_size) return false;
  const char kind = c->in[0];
  const std::string key = c->in.substr(kHead, key_size);
  std::string value = c->in.substr(kHead + key_size, value_size);
  c->in.erase(0, kHead + key_size + value_size);

  const auto group = std::find_if(groups_.begin(), groups_.end(),
                                  [&](const auto& g) { return g.first == GroupOf(key); });
  std::string* found = nullptr;
  if (group != groups_.end()) {
    const auto it = group->second.find(key);
    if (it != group->second.end()) found = &it->second;
  }
  if (kind == 's') {
    Keep(key, std::move(value));
    Answer(c, 's', "");
  } else if (kind == 'g') {
    if (found == nullptr) {
      c->waiting_for = key;
    } else {
      Answer(c, 'g', *found);
    }
  } else if (kind == 'a') {
    const int64_t before = found == nullptr ? 0 : strtoll(found->c_str(), nullptr, 10);
    const std::string sum = std::to_string(before + strtoll(value.c_str(), nullptr, 10));
    Keep(key, sum);
    Answer(c, 'a', sum);
  } else if (kind == 'c') {
    Answer(c, 'c', found != nullptr ? "1" : "0");
  } else if (kind == 'd') {
    if (found != nullptr) group->second.erase(key);
    Answer(c, 'd', found != nullptr ? "1" : "0");
  } else if (kind == 'n') {
    Answer(c, 'n', std::to_string(group == groups_.end() ? 0 : group->second.size()));
  } else {
    c->closed = true;
  }
  return true;
}

void RendezvousServer::Keep(const std::string& key, std::string value) {
  auto group = std::find_if(groups_.begin(), groups_.end(),
                            [&](const auto& g) { return g.first == GroupOf(key); });
  if (group == groups_.end()) {
    if (groups_.size() >= kGroupsKept) groups_.erase(groups_.begin());
    groups_.emplace_back(GroupOf(key), std::map<std::string, std::string>());
    group = groups_.end() - 1;
  }
  group->second[key] = value;
  for (const auto& c : connections_) {
    if (c->waiting_for != key || c->closed) continue;
    c->waiting_for.clear();
    Answer(c.get(), 'g', value);
  }
}

// Queues an answer (kind 0: none) and writes what the socket takes.
void RendezvousServer::Answer(Connection* c, char kind, const std::string& value) {
  if (kind != 0) c->out += Message(kind, "", value);
  while (!c->out.empty() && !c->closed) {
    const ssize_t n = send(c->fd, c->out.data(), c->out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (errno != EAGAIN) c->closed = true;
      return;
    }
    c->out.erase(0, static_cast<size_t>(n));
  }
}

RendezvousClient::RendezvousClient(const std::string& host, uint16_t port,
                                   std::chrono::milliseconds timeout)
    : Store(timeout), host_(host), port_(port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    throw std::runtime_error(absl::StrCat("the address of rank 0, ", host, ", is not known"));
  }
  for (const addrinfo* a = found; a != nullptr && fd_ < 0; a = a->ai_next) {
    fd_ = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) continue;
    NoDelay(fd_);
    if (connect(fd_, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS) {
      close(std::exchange(fd_, -1));
    }
  }
  freeaddrinfo(found);
  if (fd_ < 0) {
    throw std::runtime_error(absl::StrCat("rank 0 cannot be reached at ", host, ":", port));
  }
}

RendezvousClient::~RendezvousClient() {
  if (fd_ >= 0) close(fd_);
}

void RendezvousClient::Transfer(bool write, char* bytes, size_t count,
                                std::chrono::steady_clock::time_point end) {
  while (count > 0) {
    // In slices, to see an interruption.
    pollfd entry{fd_, static_cast<short>(write ? POLLOUT : POLLIN), 0};
    poll(&entry, 1, 50);
    if (interrupted_.load()) throw std::runtime_error("the rendezvous was left");
    if (std::chrono::steady_clock::now() > end) {
      throw std::runtime_error("rank 0 or another rank did not come to the rendezvous in time");
    }
    if (entry.revents == 0) continue;
    const ssize_t n = write ? send(fd_, bytes, count, MSG_NOSIGNAL) : recv(fd_, bytes, count, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) throw std::runtime_error("rank 0 is gone");
    bytes += n;
    count -= static_cast<size_t>(n);
  }
}

std::string RendezvousClient::Ask(char kind, const std::string& key, const std::string& value,
                                  std::chrono::milliseconds timeout) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::string request = Message(kind, key, value);
  Transfer(true, request.data(), request.size(), end);
  char head[kHead];
  Transfer(false, head, kHead, end);
  uint32_t key_size = 0, value_size = 0;
  Lengths(head, &key_size, &value_size);
  if (head[0] != kind || key_size != 0 || value_size > kValueLimit) {
    throw std::runtime_error("what listens at rank 0's address is no rendezvous");
  }
  std::string answer(value_size, '\0');
  Transfer(false, answer.data(), answer.size(), end);
  return answer;
}

void RendezvousClient::set(const std::string& key, const std::vector<uint8_t>& value) {
  Ask('s', key, std::string(value.begin(), value.end()), timeout_);
}
std::vector<uint8_t> RendezvousClient::get(const std::string& key) {
  const std::string value = Ask('g', key, "", timeout_);
  return {value.begin(), value.end()};
}
int64_t RendezvousClient::add(const std::string& key, int64_t value) {
  return strtoll(Ask('a', key, std::to_string(value), timeout_).c_str(), nullptr, 10);
}
bool RendezvousClient::deleteKey(const std::string& key) {
  return Ask('d', key, "", timeout_) == "1";
}
bool RendezvousClient::check(const std::vector<std::string>& keys) {
  return std::all_of(keys.begin(), keys.end(),
                     [this](const auto& key) { return Ask('c', key, "", timeout_) == "1"; });
}
int64_t RendezvousClient::getNumKeys() {
  return strtoll(Ask('n', "/", "", timeout_).c_str(), nullptr, 10);
}
void RendezvousClient::wait(const std::vector<std::string>& keys) { wait(keys, timeout_); }
void RendezvousClient::wait(const std::vector<std::string>& keys,
                            const std::chrono::milliseconds& timeout) {
  for (const std::string& key : keys) Ask('g', key, "", timeout);
}
c10::intrusive_ptr<c10d::Store> RendezvousClient::clone() {
  return c10::make_intrusive<RendezvousClient>(host_, port_, timeout_);
}

}  // namespace longrun::training
