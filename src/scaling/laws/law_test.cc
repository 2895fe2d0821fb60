#include "scaling/laws/law.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "scaling/fit/fit_problem.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

LossRange SomeLosses() { return {2.0, 2.6, 4.0}; }

// A point of every law's box, away from its edges.
Vector SomeCoordinates(const Law& law, Random& random) {
  const std::vector<Vector> starts = law.Starts(SomeLosses());
  Vector x = starts[random.Below(starts.size())];
  for (int i = 0; i < x.size(); ++i) x[i] += 0.05 * random.Uniform();
  return x;
}

TEST(LawTest, GradientsAndHessiansAreThoseOfTheLogLoss) {
  Random random(7);
  const double h = 1e-5;
  for (const Law* law : AllLaws()) {
    for (int round = 0; round < 30; ++round) {
      const Vector x = SomeCoordinates(*law, random);
      const Features f(4 * random.Uniform() - 2, 4 * random.Uniform() - 2);
      Vector gradient;
      Matrix hessian;
      law->LogLoss(f, x, &gradient, &hessian);
      for (int i = 0; i < x.size(); ++i) {
        Vector up = x;
        Vector down = x;
        up[i] += h;
        down[i] -= h;
        Vector gradient_up;
        Vector gradient_down;
        const double value_up = law->LogLoss(f, up, &gradient_up, nullptr);
        const double value_down = law->LogLoss(f, down, &gradient_down, nullptr);
        EXPECT_NEAR(gradient[i], (value_up - value_down) / (2 * h), 1e-7) << law->name();
        for (int j = 0; j < x.size(); ++j) {
          // Kaplan's third derivatives go as 1/alpha_D³, which the differences carry.
          EXPECT_NEAR(hessian(i, j), (gradient_up[j] - gradient_down[j]) / (2 * h),
                      1e-5 * (1 + std::abs(hessian(i, j))))
              << law->name() << " " << i << " " << j;
        }
      }
    }
  }
}

TEST(LawTest, NaturalParametersAndCoordinatesAreTheSameCurve) {
  Random random(8);
  for (const Law* law : AllLaws()) {
    const Vector x = SomeCoordinates(*law, random);
    const Features centre(20.5, 23.1);
    const Vector natural = law->ToNatural(x, centre);
    EXPECT_LT((law->FromNatural(natural, centre) - x).norm(), 1e-9) << law->name();
    Point point;
    point.params = 3e8;
    point.tokens = 7e9;
    point.compute = 6 * point.params * point.tokens;
    point.experts = 8;
    const double log_loss = law->LogLoss(law->FeaturesOf(point) - centre, x, nullptr, nullptr);
    EXPECT_NEAR(std::log(law->Loss(natural, point)), log_loss, 1e-9) << law->name();
  }
}

TEST(LawTest, FormulasAreThePapers) {
  Point point;
  point.params = 1e9;
  point.tokens = 2e10;
  point.compute = 6 * point.params * point.tokens;
  point.experts = 64;
  EXPECT_NEAR(ChinchillaLaw().Loss(Vector{{406.401, 410.723, 1.69337, .33917, .28491}}, point),
              1.69337 + 406.401 / std::pow(1e9, .33917) + 410.723 / std::pow(2e10, .28491), 1e-12);
  EXPECT_NEAR(KaplanLaw().Loss(Vector{{8.8e13, 5.4e13, .076, .095}}, point),
              std::pow(std::pow(8.8e13 / 1e9, .076 / .095) + 5.4e13 / 2e10, .095), 1e-12);
  const double m = 20;
  EXPECT_NEAR(
      OvertrainingLaw().Loss(Vector{{212, 367, 1.84, .136}}, point),
      1.84 + (212 * std::pow(m, .136) + 367 * std::pow(m, -.136)) * std::pow(point.compute, -.136),
      1e-12);
  EXPECT_NEAR(PowerComputeLaw().Loss(Vector{{100, -.1, 1.5}}, point),
              100 * std::pow(point.compute, -.1) + 1.5, 1e-12);
  EXPECT_NEAR(PowerParamsLaw().Loss(Vector{{100, .2, 1.5}}, point), 100 / std::pow(1e9, .2) + 1.5,
              1e-12);
  EXPECT_NEAR(PowerTokensLaw().Loss(Vector{{100, .2, 1.5}}, point), 100 / std::pow(2e10, .2) + 1.5,
              1e-12);
  EXPECT_NEAR(std::log10(RoutedLaw().Loss(Vector{{-.08, -.1, .008, 1.1}}, point)),
              -.08 * 9 - .1 * std::log10(64) + .008 * 9 * std::log10(64) + 1.1, 1e-12);
}

TEST(LawTest, ALawIsNotAskedForWhatAPointLacks) {
  Point point;
  point.params = 1e9;
  EXPECT_TRUE(std::isnan(ChinchillaLaw().Loss(Vector{{1, 1, 1, .3, .3}}, point)));
}

TEST(LawTest, NoOtherSplitOfTheComputeIsBetter) {
  const std::vector<std::pair<const Law*, Vector>> laws{
      {&ChinchillaLaw(), Vector{{482.006, 2085.43, 1.81686, .34781, .36585}}},
      {&KaplanLaw(), Vector{{8.8e13, 5.4e13, .076, .095}}},
      {&OvertrainingLaw(), Vector{{212, 367, 1.84, .136}}}};
  for (const auto& [law, natural] : laws) {
    const Allocation best = law->Optimal(natural, 5.76e23).value();
    EXPECT_NEAR(6 * best.params * best.tokens / 5.76e23, 1, 1e-12) << law->name();
    for (const double factor : {0.9, 0.999, 1.001, 1.1}) {
      Point other;
      other.params = best.params * factor;
      other.tokens = best.tokens / factor;
      EXPECT_GT(law->Loss(natural, other), best.loss) << law->name();
    }
  }
}

// Besiroglu et al. 2024 and Hoffmann et al. 2022: tokens per parameter at Chinchilla's compute.
TEST(LawTest, TokensPerParameterAreThePublishedOnes) {
  const auto ratio = [](const Vector& natural) {
    const Allocation best = ChinchillaLaw().Optimal(natural, 5.76e23).value();
    return best.tokens / best.params;
  };
  EXPECT_NEAR(ratio(Vector{{482.006, 2085.43, 1.81686, .34781, .36585}}), 18.3, 0.1);
  EXPECT_NEAR(ratio(Vector{{406.401, 410.723, 1.69337, .33917, .28491}}), 58.9, 0.1);
  EXPECT_NEAR(ratio(Vector{{406.4, 410.7, 1.69, .34, .28}}), 92.7, 0.1);
}

TEST(LawTest, UnknownNamesListTheLaws) {
  EXPECT_EQ(FindLaw("kaplan").value(), &KaplanLaw());
  const std::string message(FindLaw("chinchila").status().message());
  EXPECT_THAT(message, HasSubstr("power-compute"));
  EXPECT_THAT(message, HasSubstr("did you mean \"chinchilla\"?"));
}

}  // namespace
}  // namespace longrun::scaling
