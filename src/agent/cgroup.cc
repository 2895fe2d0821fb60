#include "agent/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

namespace longrun::agent {
namespace {

bool Put(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(fd);
  errno = error;
  return done;
}

// The folder of the cgroup that this process is in; empty without cgroup v2.
std::string OwnCgroup() {
  const auto mounts = ReadFile("/proc/self/mountinfo");
  const auto groups = ReadFile("/proc/self/cgroup");
  if (!mounts.ok() || !groups.ok()) return "";
  std::string mount, path;
  for (const absl::string_view line : absl::StrSplit(*mounts, '\n')) {
    if (!absl::StrContains(line, " - cgroup2 ")) continue;
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 4 && fields[3] == "/") mount = fields[4];
  }
  for (absl::string_view line : absl::StrSplit(*groups, '\n')) {
    if (absl::ConsumePrefix(&line, "0::")) path = std::string(line);
  }
  return mount.empty() || path.empty() ? "" : absl::StrCat(mount, path == "/" ? "" : path);
}

}  // namespace

Cgroups::Cgroups(const std::string& name) {
  const std::string own = OwnCgroup();
  if (own.empty()) {
    log::info("no limits on members: there is no cgroup v2 here");
    return;
  }
  const std::string folder = absl::StrCat(own, "/longrun-", name);
  EndCgroup(folder);
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    log::info("no limits on members: cannot make {}: {}", folder, ::strerror(errno));
    return;
  }
  folder_ = folder;
  for (const char* controller : {"+memory", "+cpu"}) {
    const std::string file = "/cgroup.subtree_control";
    const bool given = Put(own + file, controller) && Put(folder_ + file, controller);
    (controller[1] == 'm' ? limits_memory_ : limits_cpu_) = given;
    if (!given) {
      log::info("no limits on the {} of members: cgroup {} does not hand the controller down ({})",
                controller + 1, own, ::strerror(errno));
    }
  }
}

Cgroups::~Cgroups() {
  if (!folder_.empty()) EndCgroup(folder_);
}

std::string Cgroups::Make(const std::string& member, const fleet::Resources& resources) {
  if (folder_.empty()) return "";
  const std::string folder = absl::StrCat(folder_, "/", member);
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    log::warn("cannot make the cgroup {}: {}", folder, ::strerror(errno));
    return "";
  }
  bool limited = true;
  if (limits_memory_ && resources.memory_bytes > 0) {
    limited &= Put(folder + "/memory.max", absl::StrCat(resources.memory_bytes));
    Put(folder + "/memory.oom.group", "1");
  }
  if (limits_cpu_ && resources.cpu_milli > 0) {
    constexpr int64_t kPeriodUs = 100'000;
    limited &= Put(folder + "/cpu.max",
                   absl::StrCat(resources.cpu_milli * kPeriodUs / 1000, " ", kPeriodUs));
  }
  if (!limited) log::warn("cannot set the limits of {}: {}", folder, ::strerror(errno));
  return folder;
}

bool KillCgroup(const std::string& folder) { return Put(folder + "/cgroup.kill", "1"); }

bool CgroupEmpty(const std::string& folder) {
  const auto procs = ReadFile(folder + "/cgroup.procs");
  return !procs.ok() || procs->empty();
}

bool RemoveCgroup(const std::string& folder) {
  return ::rmdir(folder.c_str()) == 0 || errno == ENOENT;
}

}  // namespace longrun::agent
