#include "model/threads.h"

#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>

#include <torch/torch.h>

#include "absl/strings/numbers.h"

namespace longrun::model {

int64_t ThreadsFor(int64_t wanted) {
  if (wanted > 0) return wanted;
  cpu_set_t cores;
  const int64_t usable = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  int64_t local = 1;
  const char* text = getenv("LOCAL_WORLD_SIZE");
  if (text == nullptr || !absl::SimpleAtoi(text, &local) || local < 1) local = 1;
  return std::max<int64_t>(1, usable / local);
}

void SetThreads(int64_t count) {
  at::set_num_threads(static_cast<int>(count));
  // Looked up, not linked: which BLAS there is, is chosen when the program starts.
  using SetBlasThreads = void (*)(int);
  void* const set = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
  if (set != nullptr) reinterpret_cast<SetBlasThreads>(set)(static_cast<int>(count));
}

}  // namespace longrun::model
