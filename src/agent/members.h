// The processes of this node: started, stopped, buried. Works toward the newest fleet::NodeDesired
// and tells what became of each member, once.
//
//   wanted ──start──► running ──exit seen──► ending (its group is being killed) ──► gone, told
//
// A member is started at most once in the agent's session, whatever is said how often: its number
// stays known until a newer NodeDesired has stopped naming it.
//
// Owned by the agent's loop. The agent must be the subreaper of its processes, and SIGCHLD blocked.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/cgroup.h"
#include "agent/environment.h"
#include "agent/event_loop.h"
#include "agent/options.h"
#include "agent/rank_server.h"
#include "fleet/desired.h"

namespace longrun::agent {

class Members {
 public:
  // `tell`: to control; `server`: of the ranks. All must outlive it.
  Members(EventLoop* loop, const Options* options, NodeFacts facts, RankServer* server,
          std::function<void(const fleet::EventBody&)> tell);
  ~Members();
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  // Ignores a revision below the newest.
  void Apply(const fleet::NodeDesired& desired);

  // SIGCHLD came.
  void Reap();
  // Twice a second: who is silent, whose grace is over.
  void Check();
  // After a time in which the loop itself stood still.
  void ForgiveSilence();

  // A fault put in on purpose. Nothing happens where the member does not run.
  void Kill(const MemberKey& member);
  void Hang(const MemberKey& member);

  // Asks all to end, SIGKILL after `grace` or their own, whichever is shorter.
  void StopAll(const std::string& reason, Duration grace);
  // At once, and waits for their end. Nothing is told; nothing is known afterwards.
  void KillAllAndForget();

  bool empty() const { return processes_.empty(); }

  // For the rank server.
  std::optional<MemberKey> Identify(int pid) const;
  void SendMembership(const MemberKey& member);

 private:
  struct Process;

  void Start(const fleet::DesiredMember& member, const fleet::RunSpec& spec);
  void Stop(Process& process, const std::string& reason, Duration grace);
  void EndNeverStarted(const fleet::DesiredMember& member);
  void Learn(const fleet::DesiredMembership& membership);
  void ReadOutput(Process& process, bool error_stream, bool to_the_end);
  void OnExit(Process& process, int code, int signal);
  void KillGroup(const Process& process) const;
  bool GroupGone(const Process& process) const;
  void Bury(Process& process);
  void TendEnding();
  void KillStrays();
  Process* ByPid(int pid);
  std::string RecordPath(const MemberKey& member) const;

  EventLoop* loop_;
  const Options* options_;
  const NodeFacts facts_;
  RankServer* server_;
  std::function<void(const fleet::EventBody&)> tell_;
  Cgroups cgroups_;
  const std::map<std::string, std::string> inherited_;
  Stopwatch watch_;
  bool tending_ = false;
  bool strays_due_ = false;
  uint64_t revision_ = 0;
  std::map<MemberKey, std::unique_ptr<Process>> processes_;  // not yet buried
  std::map<MemberKey, bool> known_;                          // ever started or refused; true: over
  std::map<fleet::RunId, fleet::DesiredMembership> memberships_;
};

}  // namespace longrun::agent
