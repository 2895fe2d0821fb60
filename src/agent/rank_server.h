// The Unix socket that ranks speak to (docs/rank-protocol.md): their lines become facts,
// memberships and pings go out.
//
// Nothing that comes in is trusted. Who speaks is decided by the kernel (SO_PEERCRED): a process of
// a member's own tree speaks for that member and for no other, whatever its hello says.
//
// Owned by the agent's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "agent/event_loop.h"
#include "base/status.h"
#include "fleet/event.h"

namespace longrun::agent {

using MemberKey = std::pair<fleet::RunId, fleet::MemberId>;

class RankServer {
 public:
  struct Handler {
    // The living member whose process tree `pid` is in.
    std::function<std::optional<MemberKey>(int pid)> identify;
    // A member said hello: its newest membership is due.
    std::function<void(const MemberKey&)> on_hello;
    std::function<void(const fleet::EventBody&)> on_fact;
  };

  RankServer(EventLoop* loop, Handler handler);
  ~RankServer();
  RankServer(const RankServer&) = delete;
  RankServer& operator=(const RankServer&) = delete;

  // Listens on `path`, which must fit a Unix socket's address (107 bytes).
  absl::Status Listen(const std::string& path);

  // Lost when the member is not connected.
  void Send(const MemberKey& member, const std::string& line);

  // Takes in all that the member has said up to now: to be called when its process has ended,
  // before that is told.
  void Drain(const MemberKey& member);
  // Closes the member's connection.
  void Forget(const MemberKey& member);

  // Sends a ping to each member that is connected.
  void Ping();
  // How long the member has left a ping unanswered; 0 where it is not connected, or is a program
  // that has never answered one.
  double SilentSeconds(const MemberKey& member) const;
  // No answer counts as late that could not have been heard: the loop itself was held up.
  void ForgivePings();

  // While paused nothing is read, so ranks that say more than can be kept wait.
  void SetPaused(bool paused);

 private:
  struct Connection;

  void Accept();
  void OnReady(int fd, uint32_t events);
  bool ReadSome(Connection& connection);
  void Hear(Connection& connection, std::string_view text);
  void Hello(Connection& connection, int64_t member, std::string_view endpoint, int64_t step);
  void Write(Connection& connection, const std::string& text);
  void Close(int fd);
  Connection* Find(const MemberKey& member);
  uint32_t Interest(const Connection& connection) const;

  EventLoop* loop_;
  Handler handler_;
  std::string path_;
  int listener_ = -1;
  bool paused_ = false;
  int64_t ping_ = 0;
  Stopwatch watch_;
  std::map<int, std::unique_ptr<Connection>> connections_;
  std::map<MemberKey, int> by_member_;
};

}  // namespace longrun::agent
