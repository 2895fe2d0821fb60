#include "serving/execute/ceilings.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/time.h"
#include "serving/execute/cpu_executor.h"
#include "serving/execute/kernels.h"
#include "serving/execute/mapped_memory.h"
#include "serving/execute/thread_pool.h"

namespace longrun::serving {
namespace {

constexpr int64_t kReadBytes = int64_t{192} << 20;
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int kReads = 3;
constexpr int64_t kTiles = 4000;  // of a unit of work, some milliseconds
constexpr int kSpins = 3;

double ReadRate(const Kernels& kernels, ThreadPool& pool, const MappedMemory& memory) {
  std::atomic<uint64_t> sum = 0;  // keeps the reads
  double best = 0;
  for (int i = 0; i < kReads; ++i) {
    const Stopwatch watch;
    pool.ForEach(memory.bytes() / kPieceBytes, [&](int64_t piece, int) {
      sum ^= kernels.read(memory.data() + piece * kPieceBytes, kPieceBytes);
    });
    best = std::max(best, static_cast<double>(memory.bytes()) / watch.seconds());
  }
  return best;
}

double FlopRate(const Kernels& kernels, ThreadPool& pool, WeightType type) {
  double best = 0;
  for (int i = 0; i < kSpins; ++i) {
    std::atomic<int64_t> operations = 0;
    const Stopwatch watch;
    pool.ForEach(pool.threads(), [&](int64_t, int) {
      operations += static_cast<int64_t>(kernels.spin(type, kTiles / (2 * kernels.lanes / 8)));
    });
    best = std::max(best, static_cast<double>(operations) / watch.seconds());
  }
  return best;
}

}  // namespace

absl::StatusOr<Ceilings> MeasureCeilings(int threads) {
  const Kernels& kernels = *UsableKernels().front();
  ThreadPool pool(threads > 0 ? threads : UsableCpus());
  LR_ASSIGN_OR_RETURN(const MappedMemory memory,
                      MappedMemory::Allocate(kReadBytes, "measuring how fast memory is read"));
  pool.ForEach(kReadBytes / kPieceBytes, [&](int64_t piece, int) {
    std::memset(memory.data() + piece * kPieceBytes, 1, kPieceBytes);  // pages of its own
  });
  return Ceilings{.read_bytes_per_second = ReadRate(kernels, pool, memory),
                  .bf16_flops_per_second = FlopRate(kernels, pool, WeightType::kBF16),
                  .f32_flops_per_second = FlopRate(kernels, pool, WeightType::kF32)};
}

}  // namespace longrun::serving
