#include "engine/local/agent_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

namespace longrun::engine {
namespace {

int OpenPidFd(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

absl::StatusOr<AgentProcess> SpawnAgent(const std::vector<std::string>& command,
                                        const std::string& node_folder) {
  LR_RETURN_IF_ERROR(MakeFolder(node_folder));
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);

  // What the agent says before it has its log, and its last words if it crashes.
  const std::string errors = node_folder + "/agent.stderr";
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);

  // A session of its own: neither the terminal's Ctrl-C nor the end of the controller reaches it.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &files, &attributes, argv.data(), ::environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", command[0]));
  AgentProcess agent{pid, OpenPidFd(pid), true, 0};
  if (agent.pidfd < 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, "cannot watch the agent (pidfd_open)");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return status;
  }
  return agent;
}

std::optional<AgentProcess> FindAgent(const std::string& node_folder) {
  const auto record = ReadProcessRecord(node_folder + "/agent");
  if (!record.ok() || !record->alive()) return std::nullopt;
  const AgentProcess agent{record->pid, OpenPidFd(record->pid), false, record->tag};
  if (agent.pidfd < 0) return std::nullopt;
  // Asked again: only now is it certain that the descriptor is of that very process.
  if (!record->alive()) {
    ::close(agent.pidfd);
    return std::nullopt;
  }
  return agent;
}

void SignalAgent(const AgentProcess& agent, int signal) {
  ::syscall(SYS_pidfd_send_signal, agent.pidfd, signal, nullptr, 0);
}

std::string BuryAgent(AgentProcess& agent) {
  ::close(std::exchange(agent.pidfd, -1));
  int status = 0;
  if (agent.child && ::waitpid(agent.pid, &status, 0) == agent.pid) {
    if (WIFSIGNALED(status)) return absl::StrCat("was killed by signal ", WTERMSIG(status));
    return absl::StrCat("exited with code ", WEXITSTATUS(status));
  }
  return "is gone";
}

absl::Status SweepNode(const std::string& node_folder) {
  const auto mark = ReadFile(node_folder + "/mark", 4096);
  const auto cgroup = ReadFile(node_folder + "/cgroup", 4096);
  if (cgroup.ok()) EndCgroup(*cgroup);
  const auto killed = KillRecorded(
      node_folder + "/members",
      mark.ok() && absl::StartsWith(*mark, "LONGRUN_SOCKET=") ? *mark : "", Duration::Seconds(5));
  if (!killed.ok()) return killed.status();
  if (cgroup.ok()) EndCgroup(*cgroup);  // now that nothing is in it
  if (*killed > 0) log::info("{}: killed {} processes of its ranks", node_folder, *killed);
  return absl::OkStatus();
}

}  // namespace longrun::engine
