#include "model/cpu_loops.h"

namespace longrun::model::loops {

#define LR_DECLARE(kind)                \
  namespace kind {                      \
  extern const Table<float>& table_f32; \
  extern const Table<Bf16>& table_bf16; \
  }
LR_DECLARE(plain)
#ifdef LR_X86_LOOPS
LR_DECLARE(avx2)
LR_DECLARE(avx512)
LR_DECLARE(avx512_bf16)
#endif

namespace {

struct Best {
  const Table<float>* f32;
  const Table<Bf16>* bf16;
  const char* name;
};

Best Pick() {
#ifdef LR_X86_LOOPS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("fma")) {
    if (__builtin_cpu_supports("avx512bf16")) {
      return {&avx512_bf16::table_f32, &avx512_bf16::table_bf16, "avx512_bf16"};
    }
    return {&avx512::table_f32, &avx512::table_bf16, "avx512"};
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2")) {
    return {&avx2::table_f32, &avx2::table_bf16, "avx2"};
  }
#endif
  return {&plain::table_f32, &plain::table_bf16, "plain"};
}

const Best& TheBest() {
  static const Best best = Pick();
  return best;
}

}  // namespace

template <>
const Table<float>& BestTable<float>() {
  return *TheBest().f32;
}
template <>
const Table<Bf16>& BestTable<Bf16>() {
  return *TheBest().bf16;
}
const char* BestTableName() { return TheBest().name; }

}  // namespace longrun::model::loops
