#include "training/clip.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace longrun::training {
namespace {

constexpr int64_t kChunk = 1 << 14;  // floats; fixed, so that the order of the sum is
constexpr int64_t kLanes = 16;

double SumOfSquares(const float* p, int64_t n) {
  // Lanes let the compiler use vectors without leave to reorder sums.
  float lanes[kLanes] = {};
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += p[i + j] * p[i + j];
  }
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  for (int64_t i = whole; i < n; ++i) sum += static_cast<double>(p[i]) * p[i];
  return sum;
}

}  // namespace

double GlobalNorm(const at::Tensor& flat) {
  LR_CHECK(flat.scalar_type() == at::kFloat && flat.is_contiguous());
  if (!flat.device().is_cpu()) {
    return flat.to(at::kDouble).square().sum().sqrt().item<double>();
  }
  const float* p = flat.data_ptr<float>();
  const int64_t n = flat.numel();
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  std::vector<double> sums(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      sums[static_cast<size_t>(c)] = SumOfSquares(p + c * kChunk, std::min(kChunk, n - c * kChunk));
    }
  });
  double sum = 0;
  for (const double s : sums) sum += s;
  return std::sqrt(sum);
}

double ClipScale(double norm, double limit) {
  if (limit <= 0) return 1;
  return std::min(1.0, limit / (norm + 1e-6));
}

}  // namespace longrun::training
