#include "agent/members.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/launch.h"
#include "agent/rotated_log.h"
#include "agent/text.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "longrun/rank_lines.h"

namespace longrun::agent {
namespace {

constexpr size_t kTailLines = 20;
constexpr size_t kTailLineBytes = 512;
// A group that SIGKILL does not end within this (a process in an uninterruptible wait) is told as
// gone all the same, with a word in the log: its leader is, and somebody waits for the slots.
constexpr double kBuryWithinSeconds = 5;
constexpr Duration kTend = Duration::Millis(5);
constexpr Duration kStrays = Duration::Millis(100);

// One of a process's two streams: a pipe to read, a file to write.
struct OutputStream {
  int fd = -1;
  RotatedLog file;
};

}  // namespace

struct Members::Process {
  MemberKey key;
  fleet::RunSpec spec;
  int pid = -1;
  std::string cgroup;
  OutputStream streams[2];  // output, error
  LineTail tail{kTailLines, kTailLineBytes};
  double kill_at_seconds = -1;        // the end of its grace
  double stopped_since_seconds = -1;  // seen in state T
  bool stopping = false;
  bool silent_told = false;
  bool ended = false;  // the leader is reaped, its group may not be gone
  double ended_at_seconds = 0;
  int code = 0;
  int signal = 0;
};

Members::Members(EventLoop* loop, const Options* options, NodeFacts facts, RankServer* server,
                 std::function<void(const fleet::EventBody&)> tell)
    : loop_(loop),
      options_(options),
      facts_(std::move(facts)),
      server_(server),
      tell_(std::move(tell)),
      cgroups_(absl::StrCat(options->node, "-", absl::Hex(HashOf(options->state_folder)))),
      inherited_(OwnEnvironment()) {
  // For whoever finds this agent dead.
  const std::string path = options_->state_folder + "/cgroup";
  if (cgroups_.folder().empty()) {
    ::unlink(path.c_str());
  } else if (const auto written = WriteFileAtomically(path, cgroups_.folder()); !written.ok()) {
    log::warn("{}", std::string(written.message()));
  }
}

Members::~Members() { KillAllAndForget(); }

std::string Members::RecordPath(const MemberKey& member) const {
  return absl::StrCat(options_->state_folder, "/members/", member.first.text, ".", member.second);
}

// ---- what is wished ----

void Members::Apply(const fleet::NodeDesired& desired) {
  if (desired.revision < revision_) return;
  revision_ = desired.revision;
  // First who is in which gang: a member that starts below may say hello at any moment after.
  for (const fleet::DesiredMembership& membership : desired.memberships) Learn(membership);
  std::set<MemberKey> named;
  for (const fleet::DesiredMember& member : desired.members) {
    const MemberKey key{member.run, member.member};
    named.insert(key);
    const auto process = processes_.find(key);
    const bool running = process != processes_.end() && !process->second->ended;
    using Do = fleet::DesiredMember::Do;
    if (member.action == Do::kRun && !known_.contains(key)) {
      const auto spec = desired.specs.find(member.run);
      if (spec != desired.specs.end()) Start(member, spec->second);
    } else if (member.action == Do::kStop || member.action == Do::kKill) {
      if (!known_.contains(key)) {
        EndNeverStarted(member);
      } else if (running && member.action == Do::kKill) {
        KillGroup(*process->second);
      } else if (running) {
        Stop(*process->second, "asked to end", process->second->spec.grace);
      }
    }
  }
  for (auto& [key, process] : processes_) {
    if (named.contains(key) || process->ended) continue;
    log::warn("{} member {} runs but nobody wants it: killed", key.first.text, key.second);
    KillGroup(*process);
  }
  std::erase_if(known_,
                [&](const auto& item) { return item.second && !named.contains(item.first); });
  std::erase_if(memberships_, [&](const auto& item) {
    return std::none_of(named.begin(), named.end(),
                        [&](const MemberKey& key) { return key.first == item.first; });
  });
}

void Members::EndNeverStarted(const fleet::DesiredMember& member) {
  const bool kill = member.action == fleet::DesiredMember::Do::kKill;
  known_[{member.run, member.member}] = true;
  tell_(fleet::MemberExited{member.run, member.member, 0, kill ? SIGKILL : SIGTERM,
                            "asked to end before it was started"});
}

void Members::Learn(const fleet::DesiredMembership& membership) {
  fleet::DesiredMembership& newest = memberships_[membership.run];
  if (membership.incarnation <= newest.incarnation) return;
  newest = membership;
  for (const auto& [key, process] : processes_) {
    if (key.first == membership.run && !process->ended) SendMembership(key);
  }
}

void Members::SendMembership(const MemberKey& member) {
  const auto it = memberships_.find(member.first);
  if (it == memberships_.end() || it->second.incarnation == 0) return;
  const fleet::DesiredMembership& m = it->second;
  RankMembership line;
  line.incarnation = static_cast<int64_t>(m.incarnation);
  line.world = static_cast<int64_t>(m.members.size());
  line.full = m.full;
  line.members = m.members;
  line.endpoints = m.endpoints;
  const auto rank = std::find(m.members.begin(), m.members.end(), member.second);
  line.rank = rank == m.members.end() ? -1 : rank - m.members.begin();
  server_->Send(member, FormatRankMessage(line));
}

// ---- start ----

void Members::Start(const fleet::DesiredMember& member, const fleet::RunSpec& spec) {
  const MemberKey key{member.run, member.member};
  known_[key] = true;
  const auto refuse = [&](int code, std::string what) {
    log::warn("{} member {}: {}", key.first.text, key.second, what);
    tell_(fleet::MemberExited{member.run, member.member, code, 0, std::move(what)});
  };
  if (spec.command.empty() || spec.command[0].empty()) {
    return refuse(127, "the manifest gives no command");
  }
  const std::string run_folder = absl::StrCat(options_->runs_folder, "/", member.run.text);
  const std::string logs = absl::StrCat(run_folder, "/logs");
  if (const absl::Status made = MakeFolder(logs); !made.ok()) {
    return refuse(126, std::string(made.message()));
  }
  auto process = std::make_unique<Process>();
  process->key = key;
  process->spec = spec;
  int write_ends[2] = {-1, -1};
  for (int i = 0; i < 2; ++i) {
    auto file = RotatedLog::Open(absl::StrCat(logs, "/", member.member, i == 0 ? ".out" : ".err"),
                                 options_->log_file_bytes);
    int ends[2];
    if (!file.ok() || ::pipe2(ends, O_CLOEXEC) != 0) {
      for (int j = 0; j < i; ++j) {
        ::close(process->streams[j].fd);
        ::close(write_ends[j]);
      }
      return refuse(126, file.ok() ? "cannot make a pipe" : std::string(file.status().message()));
    }
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    process->streams[i].fd = ends[0];
    process->streams[i].file = *std::move(file);
    write_ends[i] = ends[1];
  }
  LaunchOrder order;
  order.command = spec.command;
  order.environment = RankEnvironment(inherited_, spec, member, facts_, run_folder);
  order.working_folder = spec.working_folder;
  order.output_fd = write_ends[0];
  order.error_fd = write_ends[1];
  process->cgroup = cgroups_.Make(absl::StrCat(key.first.text, ".", key.second), spec.resources);
  if (!process->cgroup.empty()) {
    order.cgroup_fd = ::open(process->cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  const Launched launched = Launch(order);
  for (const int fd : {write_ends[0], write_ends[1], order.cgroup_fd}) {
    if (fd >= 0) ::close(fd);
  }
  if (launched.pid < 0) {
    for (const OutputStream& stream : process->streams) ::close(stream.fd);
    if (!process->cgroup.empty()) RemoveCgroup(process->cgroup);
    return refuse(launched.code, launched.what);
  }
  process->pid = launched.pid;
  known_[key] = false;
  const auto record = RecordOf(launched.pid, static_cast<uint64_t>(member.member));
  const absl::Status written =
      record.ok() ? WriteProcessRecord(RecordPath(key), *record) : record.status();
  if (!written.ok())
    log::warn("no record of process {}: {}", launched.pid, std::string(written.message()));
  Process* p = process.get();
  for (int i = 0; i < 2; ++i) {
    loop_->Add(p->streams[i].fd, EPOLLIN,
               [this, p, i](uint32_t) { ReadOutput(*p, i == 1, false); });
  }
  processes_[key] = std::move(process);
  log::info("{} member {} started as process {}", key.first.text, key.second, launched.pid);
  tell_(fleet::MemberStarted{member.run, member.member, launched.pid});
}

void Members::ReadOutput(Process& process, bool error_stream, bool to_the_end) {
  OutputStream& stream = process.streams[error_stream ? 1 : 0];
  if (stream.fd < 0) return;
  char bytes[65536];
  while (true) {
    const ssize_t n = ::read(stream.fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // nothing now
    if (n == 0) {
      loop_->Remove(stream.fd);
      ::close(stream.fd);
      stream.fd = -1;
      return;
    }
    const std::string_view text(bytes, static_cast<size_t>(n));
    stream.file.Append(text);
    if (error_stream) process.tail.Append(text);
    if (!to_the_end) return;  // others have their turn first
  }
}

// ---- end ----

void Members::Stop(Process& process, const std::string& reason, Duration grace) {
  if (process.stopping) return;
  process.stopping = true;
  process.kill_at_seconds = watch_.seconds() + grace.seconds();
  RankStop stop;
  stop.reason = reason;
  server_->Send(process.key, FormatRankMessage(stop));
  ::kill(-process.pid, SIGTERM);
}

void Members::KillGroup(const Process& process) const {
  // Until the leader is reaped its number, and with it the group's, cannot belong to anybody else.
  if (!process.ended) ::kill(-process.pid, SIGKILL);
  if (!process.cgroup.empty()) KillCgroup(process.cgroup);
}

Members::Process* Members::ByPid(int pid) {
  for (const auto& [key, process] : processes_) {
    if (process->pid == pid && !process->ended) return process.get();
  }
  return nullptr;
}

void Members::Reap() {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    Process* process = ByPid(info.si_pid);
    if (process == nullptr) {
      ::waitpid(info.si_pid, nullptr, 0);  // an orphan of a member that came to us
      continue;
    }
    const bool exited = info.si_code == CLD_EXITED;
    OnExit(*process, exited ? info.si_status : 0, exited ? 0 : info.si_status);
  }
}

void Members::OnExit(Process& process, int code, int signal) {
  // What it had said comes before its end; and who spoke can be told only until it is reaped.
  server_->Drain(process.key);
  server_->Forget(process.key);
  KillGroup(process);
  ::waitpid(process.pid, nullptr, 0);
  process.ended = true;
  process.ended_at_seconds = watch_.seconds();
  process.code = code;
  process.signal = signal;
  TendEnding();
}

bool Members::GroupGone(const Process& process) const {
  if (::kill(-process.pid, 0) == 0 || errno == EPERM) return false;
  return process.cgroup.empty() || CgroupEmpty(process.cgroup);
}

void Members::TendEnding() {
  std::vector<Process*> over;
  bool again = false;
  for (const auto& [key, process] : processes_) {
    if (!process->ended) continue;
    if (GroupGone(*process)) {
      over.push_back(process.get());
    } else if (watch_.seconds() - process->ended_at_seconds > kBuryWithinSeconds) {
      log::error("{} member {}: processes of its group {} outlive SIGKILL", key.first.text,
                 key.second, process->pid);
      over.push_back(process.get());
    } else {
      // Its number stays taken by the group that is left, so this hits nobody else.
      ::kill(-process->pid, SIGKILL);
      if (!process->cgroup.empty()) KillCgroup(process->cgroup);
      again = true;
    }
  }
  for (Process* process : over) Bury(*process);
  if (again && !tending_) {
    tending_ = true;
    loop_->After(kTend, [this] {
      tending_ = false;
      TendEnding();
    });
  }
}

void Members::Bury(Process& process) {
  const MemberKey key = process.key;
  for (const bool error_stream : {false, true}) {
    ReadOutput(process, error_stream, true);
    OutputStream& stream = process.streams[error_stream ? 1 : 0];
    if (stream.fd < 0) continue;
    loop_->Remove(stream.fd);
    ::close(stream.fd);
  }
  if (!process.cgroup.empty()) RemoveCgroup(process.cgroup);
  ::unlink(RecordPath(key).c_str());
  log::info("{} member {} ended: code {}, signal {}", key.first.text, key.second, process.code,
            process.signal);
  tell_(fleet::MemberExited{key.first, key.second, process.code, process.signal,
                            process.tail.Text()});
  known_[key] = true;
  processes_.erase(key);
  // Looking through all processes takes milliseconds, in which others should hear of the end.
  if (std::exchange(strays_due_, true)) return;
  loop_->After(kStrays, [this] {
    strays_due_ = false;
    KillStrays();
  });
}

// Orphans that left their group come to the agent, their subreaper: those whose member is over go
// too.
void Members::KillStrays() {
  const int self = ::getpid();
  const std::string mark = SocketMark(facts_.socket_path);
  for (const ProcessInfo& orphan : AllProcesses()) {
    if (orphan.parent != self || orphan.state == 'Z' || ByPid(orphan.pid) != nullptr) continue;
    if (!EnvironmentHas(orphan.pid, mark)) continue;
    const bool of_the_living =
        std::any_of(processes_.begin(), processes_.end(), [&](const auto& item) {
          return !item.second->ended &&
                 EnvironmentHas(orphan.pid, absl::StrCat("LONGRUN_RUN=", item.first.first.text)) &&
                 EnvironmentHas(orphan.pid, absl::StrCat("LONGRUN_MEMBER=", item.first.second));
        });
    if (!of_the_living) ::kill(orphan.pid, SIGKILL);
  }
}

void Members::StopAll(const std::string& reason, Duration grace) {
  for (const auto& [key, process] : processes_) {
    if (process->ended) continue;
    Stop(*process, reason, std::min(grace, process->spec.grace));
    process->kill_at_seconds =
        std::min(process->kill_at_seconds, watch_.seconds() + grace.seconds());
  }
}

void Members::KillAllAndForget() {
  for (const auto& [key, process] : processes_) {
    KillGroup(*process);
    if (!process->ended) ::waitpid(process->pid, nullptr, 0);
    process->ended = true;
    server_->Forget(key);
    for (const OutputStream& stream : process->streams) {
      if (stream.fd < 0) continue;
      loop_->Remove(stream.fd);
      ::close(stream.fd);
    }
  }
  const auto killed = KillRecorded(options_->state_folder + "/members",
                                   SocketMark(facts_.socket_path), Duration::Seconds(5));
  if (!killed.ok()) log::error("{}", std::string(killed.status().message()));
  for (const auto& [key, process] : processes_) {
    if (!process->cgroup.empty()) RemoveCgroup(process->cgroup);
  }
  processes_.clear();
  known_.clear();
  memberships_.clear();
  revision_ = 0;
}

// ---- watch ----

void Members::Check() {
  const double now = watch_.seconds();
  for (const auto& [key, process] : processes_) {
    if (process->ended) continue;
    if (process->stopping && now >= process->kill_at_seconds) {
      log::info("{} member {} did not end in its grace: killed", key.first.text, key.second);
      KillGroup(*process);
    }
    const auto info = ReadProcess(process->pid);
    if (info && info->state == 'T') {
      if (process->stopped_since_seconds < 0) process->stopped_since_seconds = now;
    } else {
      process->stopped_since_seconds = -1;
    }
    double silent = server_->SilentSeconds(key);
    if (process->stopped_since_seconds >= 0) {
      silent = std::max(silent, now - process->stopped_since_seconds);
    }
    if (silent < process->spec.silent_after.seconds()) {
      process->silent_told = false;
    } else if (!process->silent_told) {
      process->silent_told = true;
      log::warn("{} member {} has been silent for {:.1f} s", key.first.text, key.second, silent);
      tell_(fleet::MemberSilent{key.first, key.second, silent});
    }
  }
}

void Members::ForgiveSilence() {
  server_->ForgivePings();
  for (const auto& [key, process] : processes_) process->stopped_since_seconds = -1;
}

void Members::Kill(const MemberKey& member) {
  const auto it = processes_.find(member);
  if (it != processes_.end()) KillGroup(*it->second);
}

void Members::Hang(const MemberKey& member) {
  const auto it = processes_.find(member);
  if (it != processes_.end() && !it->second->ended) ::kill(-it->second->pid, SIGSTOP);
}

std::optional<MemberKey> Members::Identify(int pid) const {
  // A few steps up suffice for honest programs; a loop in what /proc says while it changes ends
  // too.
  std::optional<ProcessInfo> info = ReadProcess(pid);
  for (int depth = 0; info && depth < 32; ++depth) {
    for (const auto& [key, process] : processes_) {
      if (process->ended) continue;
      if (info->pid == process->pid || info->session == process->pid) return key;
    }
    info = ReadProcess(info->parent);
  }
  return std::nullopt;
}

}  // namespace longrun::agent
