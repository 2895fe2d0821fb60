#include "training/clip.h"

#include <gtest/gtest.h>

#include <cmath>

namespace longrun::training {
namespace {

TEST(GlobalNorm, IsTheEuclideanNorm) {
  torch::manual_seed(1);
  for (const int64_t n : {1, 15, 16, 17, 16384, 16385, 100'003}) {
    const at::Tensor x = at::randn({n});
    const double expected = x.to(at::kDouble).norm().item<double>();
    EXPECT_NEAR(GlobalNorm(x), expected, 1e-6 * expected) << n;
  }
}

TEST(GlobalNorm, DoesNotDependOnTheNumberOfThreads) {
  torch::manual_seed(1);
  const at::Tensor x = at::randn({1'000'003});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = GlobalNorm(x);
  at::set_num_threads(2);
  const double two = GlobalNorm(x);
  at::set_num_threads(threads);
  EXPECT_EQ(one, two);
}

TEST(GlobalNorm, OfANanIsANan) {
  at::Tensor x = at::zeros({100});
  x[50] = NAN;
  EXPECT_TRUE(std::isnan(GlobalNorm(x)));
}

TEST(ClipScale, ClipsAboveTheLimitAlone) {
  EXPECT_EQ(ClipScale(0.5, 1), 1);
  EXPECT_NEAR(ClipScale(4, 1), 0.25, 1e-6);
  EXPECT_EQ(ClipScale(4, 0), 1);
}

}  // namespace
}  // namespace longrun::training
