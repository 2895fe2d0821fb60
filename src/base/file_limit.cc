#include "base/file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace longrun {

int64_t RaiseFileLimit(int64_t files) {
  const auto wanted = static_cast<rlim_t>(files);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit raised{std::min(wanted, limit.rlim_max), limit.rlim_max};
  if (limit.rlim_cur < raised.rlim_cur && ::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, kAllFiles));
}

}  // namespace longrun
