#include "serving/execute/kernels.h"

namespace longrun::serving {

namespace plain {
extern const Kernels kernels;
}
#ifdef LR_X86_KERNELS
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace avx512_bf16 {
extern const Kernels kernels;
}
#endif

std::vector<const Kernels*> UsableKernels() {
  std::vector<const Kernels*> usable;
#ifdef LR_X86_KERNELS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("fma")) {
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi")) {
      usable.push_back(&avx512_bf16::kernels);
    }
    usable.push_back(&avx512::kernels);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2")) {
    usable.push_back(&avx2::kernels);
  }
#endif
  usable.push_back(&plain::kernels);
  return usable;
}

}  // namespace longrun::serving
