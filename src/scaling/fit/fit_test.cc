#include "scaling/fit/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "scaling/fit/fit_problem.h"
#include "scaling/fit/solve.h"
#include "scaling/runs/chinchilla_points_for_tests.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

Objective Huber(double delta) { return {Objective::Kind::kHuber, delta}; }

void ExpectParameters(const Fit& fit, const std::vector<double>& right, double relative) {
  for (size_t i = 0; i < right.size(); ++i) {
    EXPECT_NEAR(fit.parameters[static_cast<int>(i)] / right[i], 1, relative)
        << fit.law->parameters()[i].name;
  }
}

// A law's own losses on a grid of sizes, with noise in ln L.
Points Synthetic(const Law& law, const Vector& natural, double noise) {
  Random random(11);
  Points points;
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 5; ++j) {
      Point& p = points.emplace_back();
      p.params = 1e7 * std::pow(10, i / 2.0);
      p.tokens = p.params * std::pow(10, j / 2.0);
      p.compute = 6 * p.params * p.tokens;
      p.experts = std::pow(4, j);
      p.loss = law.Loss(natural, p) * std::exp(noise * random.Normal());
    }
  }
  return points;
}

TEST(FitTest, EveryLawIsFoundAgainInItsOwnPoints) {
  const std::vector<std::pair<const Law*, Vector>> laws{
      {&ChinchillaLaw(), Vector{{482.006, 2085.43, 1.81686, .34781, .36585}}},
      {&KaplanLaw(), Vector{{8.8e13, 5.4e13, .076, .095}}},
      {&OvertrainingLaw(), Vector{{212, 367, 1.84, .136}}},
      {&PowerComputeLaw(), Vector{{1600, -.165, 1.74}}},
      {&PowerParamsLaw(), Vector{{150, .26, 1.9}}},
      {&PowerTokensLaw(), Vector{{250, .27, 1.9}}},
      {&RoutedLaw(), Vector{{-.08, -.1, .008, 1.1}}}};
  for (const auto& [law, natural] : laws) {
    const Points points = Synthetic(*law, natural, 0);
    for (const Objective& objective : {Huber(1e-3), Objective{Objective::Kind::kSquares}}) {
      const Fit fit = FitLaw(*law, points, objective).value();
      EXPECT_TRUE(fit.trusted()) << law->name() << ": " << fit.refusals[0].reason;
      for (int i = 0; i < natural.size(); ++i) {
        EXPECT_NEAR(fit.parameters[i] / natural[i], 1, 1e-4)
            << law->name() << " " << law->parameters()[i].name << " " << objective.Describe();
      }
    }
  }
}

// Kaplan et al. 2020: L(N) = (N_c/N)^alpha_N, L(D) and L(C) alike, without a floor. Their runs are
// not public; the constants come back from points on their curves.
TEST(FitTest, KaplansConstantsComeBack) {
  struct Curve {
    const Law* law;
    double constant;
    double exponent;
  };
  constexpr double kPetaflopDay = 8.64e19;
  for (const Curve& curve :
       {Curve{&PowerParamsLaw(), 8.8e13, .076}, Curve{&PowerTokensLaw(), 5.4e13, .095},
        Curve{&PowerComputeLaw(), 3.1e8 * kPetaflopDay, .050}}) {
    Points points;
    for (int i = 0; i < 20; ++i) {
      const double size = curve.constant * std::pow(10, -9 + i * 0.3);
      Point& p = points.emplace_back();
      p.params = p.tokens = p.compute = size;
      p.loss = std::pow(curve.constant / size, curve.exponent);
    }
    const Fit fit = FitLaw(*curve.law, points, Huber(1e-3)).value();
    const double exponent = std::abs(fit.parameters[1]);
    EXPECT_NEAR(exponent / curve.exponent, 1, 2e-3) << curve.law->name();
    const double log_constant = std::log(fit.parameters[0]) / exponent;
    EXPECT_NEAR(log_constant / std::log(curve.constant), 1, 2e-3) << curve.law->name();
    EXPECT_LT(fit.parameters[2], 1e-3) << "the floor";
  }
}

class ChinchillaDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    all_ = ChinchillaPoints();
    if (all_.empty()) GTEST_SKIP() << "no scaling/chinchilla_figure4_points.csv at hand";
    ASSERT_EQ(all_.size(), 245u);
    used_ = WithoutHighest(all_, 5);
  }

  Points all_;
  Points used_;  // the 240 that the replication uses
};

// Besiroglu et al. 2024 (arXiv:2404.10102): the best of 4,500 starts.
TEST_F(ChinchillaDataTest, TheReplicationsGridFindsNothingBetter) {
  const Fit fit = FitLaw(ChinchillaLaw(), used_, Huber(1e-3)).value();
  EXPECT_LE(fit.objective_sum, 0.00101827405);
  ExpectParameters(fit, {477.842, 2143.86, 1.81724, .347313, .367183}, 1e-3);
  EXPECT_TRUE(fit.trusted());
  EXPECT_GE(fit.starts_best, 10);
}

TEST_F(ChinchillaDataTest, AFreeScaleGivesThePublishedRow) {
  const Fit fit = FitLaw(ChinchillaLaw(), used_, {Objective::Kind::kHuberDensity, 1e-3}).value();
  ExpectParameters(fit, {482.006, 2085.43, 1.81686, .34781, .36585}, 2e-3);
  Evaluation at;
  const FitProblem problem(ChinchillaLaw(), used_);
  problem.Huber(ChinchillaLaw().FromNatural(fit.parameters, problem.centre()), 1e-3, at);
  EXPECT_NEAR(at.value, .0010186447, 1e-9);
}

TEST_F(ChinchillaDataTest, AllPointsGiveAnotherLaw) {
  const Fit fit = FitLaw(ChinchillaLaw(), all_, Huber(1e-3)).value();
  ExpectParameters(fit, {495.7, 12846, 1.8913, .3493, .4531}, 2e-4);
  EXPECT_NEAR(fit.objective_sum, .0018260, 1e-7);
  EXPECT_NEAR(fit.law->Optimal(fit.parameters, 5.76e23)->tokens /
                  fit.law->Optimal(fit.parameters, 5.76e23)->params,
              6.8, 0.1);
  EXPECT_THAT(fit.warnings, ::testing::Contains(HasSubstr("far from the law: line 2")));
}

TEST_F(ChinchillaDataTest, DeltaMovesBetaAsPublished) {
  const std::vector<std::vector<double>> rows{
      {1e-5, .3658, 18.3}, {1e-2, .3815, 16.9}, {0.1, .4059, 14.3}};
  for (const std::vector<double>& row : rows) {
    const Fit fit = FitLaw(ChinchillaLaw(), used_, Huber(row[0])).value();
    EXPECT_NEAR(fit.Get("beta"), row[1], 1e-4) << row[0];
    const Allocation best = fit.law->Optimal(fit.parameters, 5.76e23).value();
    EXPECT_NEAR(best.tokens / best.params, row[2], 0.1) << row[0];
  }
}

TEST_F(ChinchillaDataTest, SquaresOfSmallRunsAgreeWithAnotherFitter) {
  Points small;
  for (Point p : used_) {
    if (p.compute >= 1e21) continue;
    p.params /= 1e6;
    p.tokens /= 1e9;
    small.push_back(p);
  }
  ASSERT_EQ(small.size(), 217u);
  const Fit fit = FitLaw(ChinchillaLaw(), small, {Objective::Kind::kSquares}).value();
  ExpectParameters(fit, {4.0005, 1.0509, 1.9051, .3511, .4587}, 2e-4);
  EXPECT_NEAR(fit.objective_sum, .062414, 1e-6);
}

// Many more starts than the fit's own, over the whole box.
TEST_F(ChinchillaDataTest, NoStartReachesABetterOptimum) {
  const FitProblem problem(ChinchillaLaw(), used_);
  const Bounds box = ChinchillaLaw().Box(problem.loss_range());
  Random random(5);
  for (const double delta : {1e-3, 1e-5}) {
    const Solution best = SolveGlobally(problem, Huber(delta));
    for (int i = 0; i < 200; ++i) {
      Vector x(5);
      for (int c = 0; c < 5; ++c) {
        x[c] = box.lower[c] + (box.upper[c] - box.lower[c]) * random.Uniform();
      }
      const Solution other = SolveFrom(problem, Huber(delta), x);
      EXPECT_GE(other.objective_sum, best.objective_sum * (1 - 1e-9)) << delta << " start " << i;
    }
  }
}

struct Design {
  const char* why;
  Points points;
};

TEST(FitTest, WhatCannotBeTrustedIsRefusedAndSaysWhatToMeasure) {
  const Vector natural{{482.006, 2085.43, 1.81686, .34781, .36585}};
  std::vector<Design> designs{{"all points are at one params", {}},
                              {"params and tokens grow together", {}},
                              {"cannot pin down", {}}};
  for (int i = 0; i < 8; ++i) {
    Point p;
    p.params = 1e8;
    p.tokens = 1e9 * std::pow(2, i);
    designs[0].points.push_back(p);
    p.params = 1e7 * std::pow(3, i);
    p.tokens = 20 * p.params;
    designs[1].points.push_back(p);
    if (i >= 6) continue;
    // Six models over one decade.
    p.params = 1e8 * std::pow(10, i / 5.0);
    p.tokens = p.params * (i % 2 == 0 ? 15 : 25);
    designs[2].points.push_back(p);
  }
  for (Design& design : designs) {
    FillByCompute(design.points);
    for (Point& p : design.points) p.loss = ChinchillaLaw().Loss(natural, p);
    const Fit fit = FitLaw(ChinchillaLaw(), design.points, Huber(1e-3)).value();
    ASSERT_FALSE(fit.trusted()) << design.why;
    EXPECT_THAT(fit.refusals[0].reason, HasSubstr(design.why));
    EXPECT_THAT(fit.refusals[0].measure_next, HasSubstr("runs"));
  }
}

TEST(FitTest, LossesThatDoNotFallAreRefused) {
  Random random(2);
  Points points;
  for (int i = 0; i < 30; ++i) {
    Point& p = points.emplace_back();
    p.compute = 1e18 * std::pow(2, i % 10);
    p.loss = 3 * std::exp(0.01 * random.Normal());
  }
  EXPECT_FALSE(FitLaw(PowerComputeLaw(), points, Huber(1e-3))->trusted());
}

TEST(FitTest, WhatIsNoPointIsAnError) {
  Points points = Synthetic(ChinchillaLaw(), Vector{{482, 2085, 1.8, .35, .37}}, 0);
  points[3].tokens = kUnknown;
  points[3].line = 12;
  EXPECT_EQ(FitLaw(ChinchillaLaw(), points, {}).status().message(),
            "line 12: tokens is not known, and the law needs it");
  points[3].tokens = -1;
  EXPECT_THAT(std::string(FitLaw(ChinchillaLaw(), points, {}).status().message()),
              HasSubstr("tokens is -1; above 0 is right"));
  points.resize(3);
  EXPECT_THAT(std::string(FitLaw(ChinchillaLaw(), points, {}).status().message()),
              HasSubstr("3 points cannot determine the 5 parameters"));
}

}  // namespace
}  // namespace longrun::scaling
