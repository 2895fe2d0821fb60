#include "scaling/plan/optimum.h"

#include <gtest/gtest.h>

#include <cmath>

namespace longrun::scaling {
namespace {

struct Chinchilla {
  double a, b, e, alpha, beta;
  double operator()(double n, double d) const {
    return e + a / std::pow(n, alpha) + b / std::pow(d, beta);
  }
  // Hoffmann et al. 2022, equation 4.
  double BestParams(double compute) const {
    const double g = std::pow(alpha * a / (beta * b), 1 / (alpha + beta));
    return g * std::pow(compute / 6, beta / (alpha + beta));
  }
};

// Hoffmann et al. 2022 unrounded, and the replication (Besiroglu et al. 2024).
const Chinchilla kHoffmann{406.401, 410.723, 1.69337, 0.33917, 0.28491};
const Chinchilla kReplicated{482.006, 2085.43, 1.81686, 0.34781, 0.36585};

TEST(PlanOptimumTest, TheClosedFormIsMet) {
  for (const Chinchilla& law : {kHoffmann, kReplicated}) {
    for (const double compute : {1e18, 5.76e23, 3.8e25, 1e30}) {
      const Allocation best = BestForCompute(law, compute, {});
      EXPECT_NEAR(best.params / law.BestParams(compute), 1, 1e-5);
      EXPECT_NEAR(6 * best.params * best.tokens / compute, 1, 1e-12);
    }
  }
}

// Published: 18.3 tokens a parameter at Chinchilla's 5.76e23 FLOP by the replication, 58.9 by
// Hoffmann's unrounded parameters.
TEST(PlanOptimumTest, TokensPerParameterAsPublished) {
  const Allocation replicated = BestForCompute(kReplicated, 5.76e23, {});
  EXPECT_NEAR(replicated.tokens / replicated.params, 18.3, 0.1);
  // Chinchilla was 70 billion parameters on 1.4 trillion tokens.
  EXPECT_NEAR(replicated.params, 70e9, 5e9);
  EXPECT_NEAR(replicated.tokens, 1.4e12, 0.1e12);
  const Allocation hoffmann = BestForCompute(kHoffmann, 5.76e23, {});
  EXPECT_NEAR(hoffmann.tokens / hoffmann.params, 58.9, 0.1);
}

// Hoffmann et al. 2022, table A3: 67 billion parameters take 1.71e24 FLOP and 4.1 trillion tokens.
TEST(PlanOptimumTest, ApproachThreesTable) {
  const Allocation best = BestForCompute(kHoffmann, 1.71e24, {});
  EXPECT_NEAR(best.params / 67e9, 1, 0.05);
  EXPECT_NEAR(best.tokens / 4.1e12, 1, 0.05);
}

TEST(PlanOptimumTest, WhatIsGivenStays) {
  AllocationLimits limits;
  limits.params = 8e9;
  const Allocation fixed_size = BestForCompute(kReplicated, 7.2e23, limits);
  EXPECT_EQ(fixed_size.params, 8e9);
  EXPECT_DOUBLE_EQ(fixed_size.tokens, 15e12);
  limits = {};
  limits.most_tokens = 1e12;
  const Allocation few_tokens = BestForCompute(kReplicated, 5.76e23, limits);
  EXPECT_NEAR(few_tokens.tokens, 1e12, 1e6);
  EXPECT_NEAR(few_tokens.params, 96e9, 1e6);
}

TEST(PlanOptimumTest, TheTargetIsMetAsCheaplyAsCanBe) {
  for (const double compute : {1e20, 5.76e23}) {
    const Allocation best = BestForCompute(kReplicated, compute, {});
    const Allocation back = CheapestForLoss(kReplicated, best.loss, 0, {}).value();
    EXPECT_NEAR(back.loss, best.loss, 1e-9);
    EXPECT_NEAR(back.compute / compute, 1, 1e-6);
    EXPECT_NEAR(back.params / best.params, 1, 1e-3);
  }
}

// Sardana et al. 2024, figure 1: who wants the quality of a compute-optimal 13B model by Hoffmann's
// law and serves 2e12 tokens saves 1.7e22 FLOP (17 %) with about 7B parameters.
TEST(PlanOptimumTest, ServingMakesModelsSmallerAsPublished) {
  const Chinchilla printed{406.4, 410.7, 1.69, 0.336, 0.283};
  double compute = 1e20;
  while (BestForCompute(printed, compute, {}).params < 13e9) compute *= 1.01;
  const Allocation best = BestForCompute(printed, compute, {});
  const double served = 2e12;
  const Allocation over = CheapestForLoss(printed, best.loss, served, {}).value();
  const double best_total = best.compute + 2 * best.params * served;
  const double over_total = over.compute + 2 * over.params * served;
  EXPECT_NEAR(over.params / 7e9, 1, 0.1);
  EXPECT_NEAR(1 - over_total / best_total, 0.17, 0.015);
  EXPECT_NEAR(best_total - over_total, 1.7e22, 0.2e22);
}

TEST(PlanOptimumTest, OutOfReachIsSaid) {
  EXPECT_EQ(CheapestForLoss(kReplicated, 1.8, 0, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  AllocationLimits limits;
  limits.most_tokens = 1e9;
  EXPECT_FALSE(CheapestForLoss(kReplicated, 2.0, 0, limits).ok());
}

}  // namespace
}  // namespace longrun::scaling
