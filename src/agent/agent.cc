#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agent/control_link.h"
#include "agent/members.h"
#include "base/blocked_signals.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

namespace longrun::agent {
namespace {

constexpr Duration kPing = Duration::Millis(500);
// A tick so late means that the agent itself stood still: then no rank's silence counts.
constexpr double kHeldUpSeconds = 1.5;
// Facts that no controller has acknowledged. With more than that, ranks wait before they say more.
constexpr size_t kMostBacklog = 200'000;
constexpr Duration kLastWords = Duration::Millis(200);

class Agent {
 public:
  explicit Agent(const Options& options) : options_(options) {}
  ~Agent() {
    members_.reset();
    link_.reset();
    server_.reset();
    if (signals_ >= 0) ::close(signals_);
    if (started_) ::unlink((options_.state_folder + "/agent").c_str());
  }

  absl::Status Start();
  void Run() { loop_.Run(); }

 private:
  absl::Status Lock();
  absl::Status WatchSignals();
  absl::Status ChooseSocket();
  absl::Status NewSession();
  fleet::NodeJoined Joined() const;
  void OnSignal();
  void OnControl(const v1::ControlMessage& message);
  void OnFault(const v1::Fault& fault);
  void Tick();
  void End(const std::string& reason, Duration grace);
  void MaybeFinish();

  const Options options_;
  EventLoop loop_;
  int signals_ = -1;
  std::string socket_path_;
  std::unique_ptr<RankServer> server_;
  std::unique_ptr<ControlLink> link_;
  std::unique_ptr<Members> members_;
  uint64_t session_ = 0;
  bool started_ = false;
  bool ending_ = false;
  Stopwatch since_control_;
  Stopwatch since_tick_;
};

absl::Status Agent::Lock() {
  LR_RETURN_IF_ERROR(MakeFolder(options_.state_folder + "/members"));
  LR_RETURN_IF_ERROR(MakeFolder(options_.runs_folder));
  const std::string path = options_.state_folder + "/lock";
  // Held to the end of the process, so never closed.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another agent runs in ", options_.state_folder));
  }
  return absl::OkStatus();
}

absl::Status Agent::WatchSignals() {
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const BlockedSignals signals({SIGCHLD, SIGTERM, SIGINT, SIGHUP});  // before any thread is made
  signals_ = ::signalfd(-1, &signals.set(), SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) return absl::ErrnoToStatus(errno, "cannot make a signalfd");
  loop_.Add(signals_, EPOLLIN, [this](uint32_t) { OnSignal(); });
  return absl::OkStatus();
}

absl::Status Agent::ChooseSocket() {
  socket_path_ = options_.state_folder + "/rank.sock";
  if (socket_path_.size() >= sizeof(sockaddr_un::sun_path)) {
    // The address of a Unix socket is short, folders may be deep.
    socket_path_ = absl::StrCat("/tmp/longrun-", ::getuid(), "-",
                                absl::Hex(HashOf(options_.state_folder)), ".sock");
  }
  return WriteFileAtomically(options_.state_folder + "/mark", SocketMark(socket_path_));
}

absl::Status Agent::NewSession() {
  // Sessions of a node only grow, even when the clock is set back.
  const std::string path = options_.state_folder + "/agent";
  const std::string newest = options_.state_folder + "/session";
  const uint64_t now = static_cast<uint64_t>(WallClock().Now().us);
  const auto last = ReadProcessRecord(newest);
  session_ = std::max({now, session_ + 1, last.ok() ? last->tag + 1 : 0});
  LR_ASSIGN_OR_RETURN(const ProcessRecord record, RecordOf(::getpid(), session_));
  LR_RETURN_IF_ERROR(WriteProcessRecord(newest, record));
  LR_RETURN_IF_ERROR(WriteProcessRecord(path, record));
  link_->Begin(session_);
  link_->Tell(Joined());
  log::info("node {} offers {} accelerators as session {}", options_.node, options_.accelerators,
            session_);
  return absl::OkStatus();
}

fleet::NodeJoined Agent::Joined() const {
  fleet::NodeJoined joined;
  joined.node = fleet::NodeId(options_.node);
  joined.session = session_;
  joined.site = fleet::SiteId(options_.site);
  joined.address = options_.address;
  joined.labels = options_.labels;
  joined.accelerators = options_.accelerators;
  joined.type = options_.type;
  joined.cpu_milli =
      options_.cpu_milli > 0 ? options_.cpu_milli : 1000 * ::sysconf(_SC_NPROCESSORS_ONLN);
  joined.memory_bytes = options_.memory_bytes > 0
                            ? options_.memory_bytes
                            : int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  return joined;
}

absl::Status Agent::Start() {
  LR_RETURN_IF_ERROR(Lock());
  started_ = true;
  SetUpLog("agent " + options_.node, options_.state_folder + "/agent.log", options_.log_level);
  LR_RETURN_IF_ERROR(WatchSignals());
  LR_RETURN_IF_ERROR(ChooseSocket());
  LR_ASSIGN_OR_RETURN(const int killed,
                      KillRecorded(options_.state_folder + "/members", SocketMark(socket_path_),
                                   Duration::Seconds(5)));
  if (killed > 0) log::warn("{} processes of an earlier agent were left here: killed", killed);

  NodeFacts facts;
  facts.node = options_.node;
  facts.socket_path = socket_path_;
  std::error_code error;
  facts.program_folder =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  facts.nvidia = ::access("/dev/nvidiactl", F_OK) == 0;

  server_ = std::make_unique<RankServer>(
      &loop_,
      RankServer::Handler{[this](int pid) { return members_->Identify(pid); },
                          [this](const MemberKey& member) { members_->SendMembership(member); },
                          [this](const fleet::EventBody& fact) { link_->Tell(fact); }});
  LR_RETURN_IF_ERROR(server_->Listen(socket_path_));
  link_ = std::make_unique<ControlLink>(&loop_, options_.control, options_.node,
                                        [this](const auto& message) { OnControl(message); });
  members_ = std::make_unique<Members>(&loop_, &options_, facts, server_.get(),
                                       [this](const fleet::EventBody& fact) { link_->Tell(fact); });
  LR_RETURN_IF_ERROR(NewSession());
  loop_.Every(kPing, [this] { Tick(); });
  return absl::OkStatus();
}

void Agent::OnSignal() {
  signalfd_siginfo info;
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD || info.ssi_signo == SIGHUP) continue;
    End(absl::StrCat("the agent was told to end by signal ", info.ssi_signo),
        Duration::Seconds(15));
  }
  // Signals of one kind merge while they wait: whatever came, look who has ended.
  members_->Reap();
  MaybeFinish();
}

void Agent::OnControl(const v1::ControlMessage& message) {
  since_control_.Restart();
  if (message.acknowledged_seq() > 0) link_->Acknowledged(message.acknowledged_seq());
  if (!message.renew().empty()) {
    log::warn("control gave this session up ({}): all is ended and begun anew", message.renew());
    members_->KillAllAndForget();
    if (const absl::Status status = NewSession(); !status.ok()) {
      End(std::string(status.message()), Duration());
    }
    return;
  }
  for (const v1::Fault& fault : message.faults()) OnFault(fault);
  if (!message.desired().empty() && !ending_) {
    fleet::NodeDesired desired;
    if (!DecodeBinary(message.desired(), desired)) {
      log::error("control sent a wish that cannot be read: {} bytes", message.desired().size());
    } else if (desired.session == session_) {
      members_->Apply(desired);
    }
  }
  if (message.has_shutdown()) {
    End(message.shutdown().reason(), Duration::Micros(message.shutdown().grace_us()));
  }
}

void Agent::OnFault(const v1::Fault& fault) {
  const MemberKey member{fleet::RunId(fault.run()), fault.member()};
  log::info("a fault on purpose: {} of {} member {}", v1::Fault::Kind_Name(fault.kind()),
            fault.run(), fault.member());
  if (fault.kind() == v1::Fault::KILL_MEMBER) {
    members_->Kill(member);
  } else if (fault.kind() == v1::Fault::HANG_MEMBER) {
    members_->Hang(member);
  }
}

void Agent::Tick() {
  if (since_tick_.seconds() > kHeldUpSeconds) {
    log::warn("the agent stood still for {:.1f} s", since_tick_.seconds());
    members_->ForgiveSilence();
    since_control_.Restart();
  }
  since_tick_.Restart();
  server_->SetPaused(link_->backlog() > kMostBacklog);
  members_->Check();
  server_->Ping();
  members_->Reap();
  if (since_control_.seconds() > options_.orphan_after.seconds()) {
    End(absl::StrCat("no controller was heard of for ", FormatDuration(options_.orphan_after)),
        Duration::Seconds(15));
  }
  MaybeFinish();
}

void Agent::End(const std::string& reason, Duration grace) {
  if (!ending_) log::info("ending: {}", reason);
  ending_ = true;
  members_->StopAll(reason, grace);
  MaybeFinish();
}

void Agent::MaybeFinish() {
  if (!ending_ || !members_->empty()) return;
  link_->Flush(kLastWords);
  loop_.Stop();
}

}  // namespace

int Main(const Options& options) {
  Agent agent(options);
  if (const absl::Status status = agent.Start(); !status.ok()) {
    fprintf(stderr, "longrun agent: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  agent.Run();
  return 0;
}

}  // namespace longrun::agent
