#include "agent/rank_server.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/text.h"
#include "base/log.h"
#include "longrun/rank_lines.h"

namespace longrun::agent {
namespace {

constexpr size_t kMostConnections = 4096;
constexpr size_t kMostUnsentBytes = size_t{4} << 20;
constexpr double kHelloWithinSeconds = 10;
constexpr size_t kTextLimit = 4096;
constexpr size_t kNameLimit = 256;

double Sane(double seconds) { return std::isfinite(seconds) && seconds > 0 ? seconds : 0; }

// The fact that a line of a member tells. Empty: the line says nothing to control. False: it is
// wrong.
template <class Message>
bool Parse(const RankLine& line, Message* message, std::string* why) {
  return ParseRankMessage(line, message, why);
}

bool FactOf(const RankLine& line, const MemberKey& key, std::optional<fleet::EventBody>* fact,
            std::string* why) {
  const auto& [run, member] = key;
  const auto reject = [&](const char* what) {
    *why = what;
    return false;
  };
  if (line.verb == RankCommit::kVerb) {
    RankCommit m;
    if (!Parse(line, &m, why)) return false;
    if (m.incarnation < 0 || m.step < 0 || m.tokens < 0) return reject("a negative number");
    *fact = fleet::MemberCommitted{
        run,      member,         static_cast<uint64_t>(m.incarnation), m.step, m.loss,
        m.tokens, Sane(m.seconds)};
  } else if (line.verb == RankJoined::kVerb) {
    RankJoined m;
    if (!Parse(line, &m, why)) return false;
    if (m.incarnation < 0 || m.step < 0) return reject("a negative number");
    *fact = fleet::MemberJoined{run,
                                member,
                                static_cast<uint64_t>(m.incarnation),
                                m.step,
                                CleanText(m.source, kNameLimit),
                                Sane(m.seconds)};
  } else if (line.verb == RankWaiting::kVerb) {
    RankWaiting m;
    if (!Parse(line, &m, why)) return false;
    if (m.incarnation < 0 || m.step < 0) return reject("a negative number");
    *fact = fleet::MemberWaiting{run, member, static_cast<uint64_t>(m.incarnation), m.step};
  } else if (line.verb == RankBroken::kVerb) {
    RankBroken m;
    if (!Parse(line, &m, why)) return false;
    if (m.incarnation < 0) return reject("a negative number");
    *fact = fleet::MemberBroken{run, member, static_cast<uint64_t>(m.incarnation),
                                CleanText(m.what, kTextLimit)};
  } else if (line.verb == RankCheckpoint::kVerb) {
    RankCheckpoint m;
    if (!Parse(line, &m, why)) return false;
    if (m.step < 0) return reject("a negative number");
    *fact = fleet::CheckpointPublished{run, member, m.step, Sane(m.seconds), Sane(m.stall)};
  } else if (line.verb == RankMetric::kVerb) {
    RankMetric m;
    if (!Parse(line, &m, why)) return false;
    *fact = fleet::MetricReported{run, member, CleanText(m.name, kNameLimit), m.value, m.step};
  } else if (line.verb == RankSay::kVerb) {
    RankSay m;
    if (!Parse(line, &m, why)) return false;
    *fact = fleet::MemberSaid{run, member, CleanText(m.text, kTextLimit, true)};
  }
  return true;
}

}  // namespace

struct RankServer::Connection {
  int fd = -1;
  int pid = 0;
  double since_seconds = 0;
  std::optional<MemberKey> member;  // after its hello
  RankLineBuffer in;
  std::string out;
  bool failed = false;
  int complaints = 0;
  bool answers = false;          // has answered a ping: from then on silence means something
  double unanswered_since = -1;  // of the oldest ping without an answer; -1: none
};

RankServer::RankServer(EventLoop* loop, Handler handler)
    : loop_(loop), handler_(std::move(handler)) {}

RankServer::~RankServer() {
  while (!connections_.empty()) Close(connections_.begin()->first);
  if (listener_ >= 0) {
    loop_->Remove(listener_);
    ::close(listener_);
    ::unlink(path_.c_str());
  }
}

absl::Status RankServer::Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a Unix socket (at most ",
                                                   sizeof address.sun_path - 1, " bytes)"));
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(listener_, 1024) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot listen on ", path));
  }
  path_ = path;
  loop_->Add(listener_, EPOLLIN, [this](uint32_t) { Accept(); });
  return absl::OkStatus();
}

void RankServer::Accept() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (!known || connections_.size() >= kMostConnections) {
      ::close(fd);
      continue;
    }
    auto connection = std::make_unique<Connection>();
    connection->fd = fd;
    connection->pid = peer.pid;
    connection->since_seconds = watch_.seconds();
    connections_[fd] = std::move(connection);
    loop_->Add(fd, Interest(*connections_[fd]),
               [this, fd](uint32_t events) { OnReady(fd, events); });
  }
}

uint32_t RankServer::Interest(const Connection& connection) const {
  // Strangers are read even while members wait: they must say who they are.
  const bool read = !paused_ || !connection.member;
  return (read ? uint32_t{EPOLLIN} : 0u) | (connection.out.empty() ? 0u : uint32_t{EPOLLOUT});
}

void RankServer::OnReady(int fd, uint32_t events) {
  Connection& connection = *connections_.at(fd);
  if (events & EPOLLOUT) Write(connection, "");
  bool open = true;
  const bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLIN) || hung_up) open = ReadSome(connection);
  // What a hung-up peer had said is read to its end, over as many rounds as it takes.
  if (!open || connection.failed) return Close(fd);
  loop_->Change(fd, Interest(connection));
}

bool RankServer::ReadSome(Connection& connection) {
  char bytes[65536];
  const ssize_t n = ::recv(connection.fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  if (n == 0) return false;
  connection.unanswered_since = -1;
  connection.in.Append(std::string_view(bytes, static_cast<size_t>(n)));
  std::string_view text;
  while (!connection.failed && connection.in.Next(&text)) Hear(connection, text);
  return true;
}

void RankServer::Hear(Connection& connection, std::string_view text) {
  RankLine line;
  std::string why;
  bool fine = ParseRankLine(text, &line, &why);
  if (fine && line.verb == RankHello::kVerb) {
    RankHello hello;
    fine = ParseRankMessage(line, &hello, &why);
    if (fine) return Hello(connection, hello.member, hello.endpoint, hello.step);
  } else if (fine && !connection.member) {
    why = "speaks before its hello";
    fine = false;
  } else if (fine) {
    if (line.verb == "pong") connection.answers = true;
    std::optional<fleet::EventBody> fact;
    fine = FactOf(line, *connection.member, &fact, &why);
    if (fact) handler_.on_fact(*fact);
  }
  if (fine) return;
  // Said a few times and no more: a program that talks nonsense must not fill the log.
  if (++connection.complaints > 5) return;
  log::warn("process {} ({}): a line that is no message was ignored ({}): {}", connection.pid,
            connection.member ? connection.member->first.text : "not a member yet", why,
            CleanText(text, 80));
}

void RankServer::Hello(Connection& connection, int64_t member, std::string_view endpoint,
                       int64_t step) {
  const std::optional<MemberKey> key = handler_.identify(connection.pid);
  if (!key || key->second != member) {
    log::warn("process {} says it is member {} but is not of its process tree: refused",
              connection.pid, member);
    connection.failed = true;
    return;
  }
  if (connection.member && connection.member != key) {
    connection.failed = true;
    return;
  }
  const auto other = by_member_.find(*key);
  if (other != by_member_.end() && other->second != connection.fd) {
    // The newest connection is the one in use: the other's end was lost.
    const int fd = other->second;
    while (ReadSome(*connections_.at(fd)) && !connections_.at(fd)->failed) {
      if (::recv(fd, nullptr, 0, MSG_DONTWAIT | MSG_PEEK) <= 0) break;
    }
    Close(fd);
  }
  connection.member = *key;
  connection.unanswered_since = -1;
  by_member_[*key] = connection.fd;
  handler_.on_fact(fleet::MemberReady{key->first, key->second, CleanText(endpoint, kNameLimit),
                                      std::max<int64_t>(0, step)});
  handler_.on_hello(*key);
  Write(connection, absl::StrCat("ping n=", ++ping_, "\n"));
}

void RankServer::Write(Connection& connection, const std::string& text) {
  connection.out += text;
  while (!connection.out.empty()) {
    const ssize_t n = ::send(connection.fd, connection.out.data(), connection.out.size(),
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    connection.out.erase(0, static_cast<size_t>(n));
  }
  // A rank that reads nothing for so long: it learns the newest membership when it comes again.
  if (connection.out.size() > kMostUnsentBytes) connection.failed = true;
}

RankServer::Connection* RankServer::Find(const MemberKey& member) {
  const auto it = by_member_.find(member);
  return it == by_member_.end() ? nullptr : connections_.at(it->second).get();
}

void RankServer::Send(const MemberKey& member, const std::string& line) {
  Connection* connection = Find(member);
  if (connection == nullptr) return;
  Write(*connection, line);
  loop_->Change(connection->fd, Interest(*connection));
}

void RankServer::Drain(const MemberKey& member) {
  Accept();
  std::vector<int> fds;
  for (const auto& [fd, connection] : connections_) {
    if (!connection->member || connection->member == member) fds.push_back(fd);
  }
  for (const int fd : fds) {
    const auto it = connections_.find(fd);
    if (it == connections_.end()) continue;
    // A stranger may be the member that said hello and ended before it was heard.
    Connection& connection = *it->second;
    if (!connection.member && handler_.identify(connection.pid) != member) continue;
    char byte;
    while (!connection.failed && ::recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0 &&
           ReadSome(connection)) {
    }
  }
}

void RankServer::Forget(const MemberKey& member) {
  const auto it = by_member_.find(member);
  if (it != by_member_.end()) Close(it->second);
}

void RankServer::Ping() {
  const std::string line = absl::StrCat("ping n=", ++ping_, "\n");
  const double now = watch_.seconds();
  std::vector<int> late;
  for (const auto& [fd, connection] : connections_) {
    if (!connection->member) {
      if (now - connection->since_seconds > kHelloWithinSeconds) late.push_back(fd);
      continue;
    }
    if (connection->failed) {
      late.push_back(fd);
      continue;
    }
    if (connection->unanswered_since < 0) connection->unanswered_since = now;
    Write(*connection, line);
    loop_->Change(fd, Interest(*connection));
  }
  for (const int fd : late) Close(fd);
}

double RankServer::SilentSeconds(const MemberKey& member) const {
  const auto it = by_member_.find(member);
  if (it == by_member_.end() || paused_) return 0;
  const Connection& connection = *connections_.at(it->second);
  if (!connection.answers || connection.unanswered_since < 0) return 0;
  return watch_.seconds() - connection.unanswered_since;
}

void RankServer::ForgivePings() {
  for (const auto& [fd, connection] : connections_) connection->unanswered_since = -1;
}

void RankServer::SetPaused(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  ForgivePings();
  for (const auto& [fd, connection] : connections_) loop_->Change(fd, Interest(*connection));
}

void RankServer::Close(int fd) {
  const auto it = connections_.find(fd);
  if (it == connections_.end()) return;
  const std::optional<MemberKey> member = it->second->member;
  if (member) {
    const auto named = by_member_.find(*member);
    if (named != by_member_.end() && named->second == fd) by_member_.erase(named);
  }
  loop_->Remove(fd);
  ::close(fd);
  connections_.erase(it);
}

}  // namespace longrun::agent
