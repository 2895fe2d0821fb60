#include "serving/execute/ceilings.h"

#include <gtest/gtest.h>

namespace longrun::serving {
namespace {

// Bounds that any machine keeps: a figure in the wrong unit does not.
TEST(Ceilings, AreThoseOfAMachine) {
  const auto ceilings = MeasureCeilings(1);
  ASSERT_TRUE(ceilings.ok()) << ceilings.status();
  EXPECT_GT(ceilings->read_bytes_per_second, 1e7);
  EXPECT_LT(ceilings->read_bytes_per_second, 1e13);
  EXPECT_GT(ceilings->f32_flops_per_second, 1e7);
  EXPECT_LT(ceilings->f32_flops_per_second, 1e13);
  EXPECT_GT(ceilings->bf16_flops_per_second, 1e7);
  EXPECT_LT(ceilings->bf16_flops_per_second, 1e14);
}

}  // namespace
}  // namespace longrun::serving
