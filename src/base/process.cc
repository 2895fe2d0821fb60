#include "base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace longrun {
namespace {

// All of a small file of /proc; false when the process is gone or may not be looked at.
bool ReadProc(int pid, const char* name, std::string* out) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  out->clear();
  char buffer[4096];
  ssize_t n;
  while ((n = ::read(fd, buffer, sizeof buffer)) > 0) out->append(buffer, static_cast<size_t>(n));
  ::close(fd);
  return n == 0;
}

// A group belongs to the record unless its leader's number has been taken by another process since.
bool GroupStillRecorded(const ProcessRecord& record) {
  if (record.boot != BootId()) return false;
  const auto leader = ReadProcess(record.pid);
  return !leader || leader->start_ticks == record.start_ticks;
}

std::vector<ProcessInfo> Leftovers(const std::vector<ProcessRecord>& records,
                                   std::string_view mark) {
  std::vector<ProcessRecord> valid;
  for (const ProcessRecord& record : records) {
    if (GroupStillRecorded(record)) valid.push_back(record);
  }
  std::vector<ProcessInfo> found;
  const int self = ::getpid();
  for (const ProcessInfo& process : AllProcesses()) {
    if (process.state == 'Z' || process.pid == self) continue;
    bool ours = !mark.empty() && EnvironmentHas(process.pid, mark);
    for (const ProcessRecord& record : valid) {
      ours |= process.group == record.pid && process.start_ticks >= record.start_ticks;
    }
    if (ours) found.push_back(process);
  }
  return found;
}

}  // namespace

std::optional<ProcessInfo> ReadProcess(int pid) {
  std::string stat;
  if (pid <= 0 || !ReadProc(pid, "stat", &stat)) return std::nullopt;
  // The second field is the program's name in parentheses and may hold any character.
  const size_t close = stat.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(close + 1), ' ', absl::SkipEmpty());
  ProcessInfo info;
  info.pid = pid;
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[1], &info.parent) ||
      !absl::SimpleAtoi(fields[2], &info.group) || !absl::SimpleAtoi(fields[3], &info.session) ||
      !absl::SimpleAtoi(fields[19], &info.start_ticks)) {
    return std::nullopt;
  }
  info.state = fields[0][0];
  return info;
}

std::vector<ProcessInfo> AllProcesses() {
  std::vector<ProcessInfo> all;
  DIR* folder = ::opendir("/proc");
  if (folder == nullptr) return all;
  while (const dirent* entry = ::readdir(folder)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    if (auto info = ReadProcess(pid)) all.push_back(*info);
  }
  ::closedir(folder);
  return all;
}

bool EnvironmentHas(int pid, std::string_view entry) {
  std::string environment;
  if (!ReadProc(pid, "environ", &environment)) return false;
  size_t begin = 0;
  while (begin < environment.size()) {
    const size_t end = std::min(environment.find('\0', begin), environment.size());
    if (std::string_view(environment).substr(begin, end - begin) == entry) return true;
    begin = end + 1;
  }
  return false;
}

const std::string& BootId() {
  static const std::string* const id = [] {
    const auto text = ReadFile("/proc/sys/kernel/random/boot_id");
    return new std::string(text.ok() ? absl::StripAsciiWhitespace(*text) : "unknown");
  }();
  return *id;
}

bool ProcessRecord::alive() const {
  if (boot != BootId()) return false;
  const auto info = ReadProcess(pid);
  return info && info->start_ticks == start_ticks && info->state != 'Z';
}

absl::StatusOr<ProcessRecord> RecordOf(int pid, uint64_t tag) {
  const auto info = ReadProcess(pid);
  if (!info) return absl::NotFoundError(absl::StrCat("no process ", pid));
  return ProcessRecord{pid, info->start_ticks, BootId(), tag};
}

absl::Status WriteProcessRecord(const std::string& path, const ProcessRecord& record) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  const std::string text =
      absl::StrCat(record.pid, " ", record.start_ticks, " ", record.boot, " ", record.tag, "\n");
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", temporary));
  const bool whole = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(fd);
  if (!whole) return absl::ErrnoToStatus(error, absl::StrCat("cannot write ", temporary));
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot rename ", temporary, " to ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<ProcessRecord> ReadProcessRecord(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 4096));
  const std::vector<std::string> fields = absl::StrSplit(absl::StripAsciiWhitespace(text), ' ');
  ProcessRecord record;
  if (fields.size() != 4 || !absl::SimpleAtoi(fields[0], &record.pid) || record.pid <= 1 ||
      !absl::SimpleAtoi(fields[1], &record.start_ticks) ||
      !absl::SimpleAtoi(fields[3], &record.tag)) {
    return absl::DataLossError(absl::StrCat(path, " is not the record of a process"));
  }
  record.boot = fields[2];
  return record;
}

absl::StatusOr<int> KillRecorded(const std::string& folder, std::string_view mark,
                                 Duration patience) {
  std::vector<std::string> paths;
  std::vector<ProcessRecord> records;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    paths.push_back(entry.path().string());
    const auto record = ReadProcessRecord(paths.back());
    if (record.ok()) records.push_back(*record);
  }
  const Stopwatch watch;
  int killed = 0;
  std::vector<ProcessInfo> left = Leftovers(records, mark);
  killed = static_cast<int>(left.size());
  while (!left.empty()) {
    for (const ProcessInfo& process : left) ::kill(process.pid, SIGKILL);
    if (watch.seconds() > patience.seconds()) {
      return absl::DeadlineExceededError(
          absl::StrCat("processes that SIGKILL did not end within ", FormatDuration(patience), ": ",
                       absl::StrJoin(left, ", ", [](std::string* out, const ProcessInfo& p) {
                         absl::StrAppend(out, p.pid, " (state ", std::string(1, p.state), ")");
                       })));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    left = Leftovers(records, mark);
  }
  for (const std::string& path : paths) std::filesystem::remove(path, error);
  return killed;
}

void EndCgroup(const std::string& folder) {
  std::vector<std::string> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) all.push_back(entry.path().string());
  }
  all.push_back(folder);
  for (const std::string& cgroup : all) {
    const int fd = ::open((cgroup + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
      [[maybe_unused]] const ssize_t n = ::write(fd, "1", 1);
      ::close(fd);
    }
    ::rmdir(cgroup.c_str());
  }
}

}  // namespace longrun
