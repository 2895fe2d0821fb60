#include "worker/memory_available.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace longrun::worker {
namespace {

constexpr int64_t kLimit = 1 << 20;

std::optional<int64_t> Number(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kLimit);
  int64_t number = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &number)) return std::nullopt;  // "max": none
  return number;
}

// Of page cache that the kernel gives back under pressure.
int64_t Reclaimable(const std::string& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder + "/memory.stat", kLimit);
  if (!text.ok()) return 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    int64_t bytes = 0;
    if (absl::ConsumePrefix(&line, "inactive_file ") && absl::SimpleAtoi(line, &bytes)) {
      return bytes;
    }
  }
  return 0;
}

absl::StatusOr<int64_t> OfMachine(const std::string& root) {
  const std::string path = root + "proc/meminfo";
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kLimit));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    int64_t kib = 0;
    if (absl::ConsumePrefix(&line, "MemAvailable:") && absl::ConsumeSuffix(&line, "kB") &&
        absl::SimpleAtoi(line, &kib)) {
      return kib * 1024;
    }
  }
  return absl::UnavailableError(absl::StrCat(path, " has no MemAvailable"));
}

// The process's folder below /sys/fs/cgroup: "0::/a/b" gives "a/b".
std::string CgroupOf(const std::string& root) {
  const absl::StatusOr<std::string> text = ReadFile(root + "proc/self/cgroup", kLimit);
  if (!text.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (absl::ConsumePrefix(&line, "0::/")) return std::string(line);
  }
  return "";
}

}  // namespace

absl::StatusOr<MemoryAvailable> ReadMemoryAvailable(const std::string& root) {
  MemoryAvailable least;
  LR_ASSIGN_OR_RETURN(least.bytes, OfMachine(root));
  least.source = "MemAvailable of /proc/meminfo";
  std::string group = CgroupOf(root);
  while (true) {
    const std::string folder = absl::StrCat(root, "sys/fs/cgroup/", group);
    const std::optional<int64_t> max = Number(folder + "/memory.max");
    const std::optional<int64_t> used = Number(folder + "/memory.current");
    if (max && used) {
      const int64_t left = std::max<int64_t>(0, *max - *used + Reclaimable(folder));
      if (left < least.bytes) least = {left, absl::StrCat("memory.max of cgroup /", group)};
    }
    if (group.empty()) return least;
    const size_t slash = group.rfind('/');
    group = slash == std::string::npos ? "" : group.substr(0, slash);
  }
}

int64_t ResidentBytes() {
  const absl::StatusOr<std::string> text = ReadFile("/proc/self/statm", kLimit);
  int64_t pages = 0;
  if (!text.ok()) return 0;
  const std::vector<std::string> fields = absl::StrSplit(*text, ' ');
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return 0;
  return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace longrun::worker
