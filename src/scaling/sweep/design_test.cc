#include "scaling/sweep/design.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

constexpr char kSweep[] = R"(name: small
data: {text: ["/texts/*"], vocab_size: 512}
training: {batch: 2, context: 64, learning_rate: {value: 0.004, at_width: 32, exponent: -0.5}}
ladder:
  shapes:
    - {layers: 2, heads: 2, d_model: 8}
    - {layers: 2, heads: 2, d_model: 12}
    - {layers: 2, heads: 2, d_model: 16}
    - {layers: 2, heads: 2, d_model: 20}
  tokens_per_param: 5
  repeats: 2
target: {layers: 2, heads: 2, d_model: 80, tokens_per_param: 5}
seed: 3
)";

std::string With(const std::string& from, const std::string& to) {
  const std::string text = absl::StrReplaceAll(kSweep, {{from, to}});
  EXPECT_NE(text, kSweep) << from;
  return text;
}

std::string MistakeOf(const std::string& text) {
  const auto config = ParseSweep(text, "s.yaml");
  if (!config.ok()) return std::string(config.status().message());
  const auto design = DesignSweep(*config, "s.yaml");
  return design.ok() ? "" : std::string(design.status().message());
}

SweepDesign DesignOf(const std::string& text) {
  const auto config = ParseSweep(text, "s.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  const auto design = DesignSweep(*config, "s.yaml");
  EXPECT_TRUE(design.ok()) << design.status();
  return design.ok() ? *design : SweepDesign{};
}

TEST(SweepDesign, CountsAllParametersButTheLearnedPositions) {
  // GPT-2's 124,439,808 parameters, less 1,024 positions of 768.
  EXPECT_EQ(SweepParams({12, 12, 768}, 50257), 124439808 - 1024 * 768);
}

TEST(SweepDesign, ARunOfEachShapeLengthAndSeed) {
  const SweepDesign design = DesignOf(kSweep);
  ASSERT_EQ(design.ladder.size(), 8);
  std::set<std::string> names;
  double sum = 0;
  for (size_t i = 0; i < design.ladder.size(); ++i) {
    const SweepRun& run = design.ladder[i];
    names.insert(run.name);
    sum += run.compute;
    EXPECT_EQ(run.tokens, run.steps * 2 * 64);
    EXPECT_NEAR(static_cast<double>(run.tokens), 5.0 * static_cast<double>(run.params), 64);
    EXPECT_EQ(run.compute, 6.0 * static_cast<double>(run.params * run.tokens));
    EXPECT_TRUE(run.seed == 3001 || run.seed == 3002) << run.seed;
    EXPECT_LE(run.compute, design.ladder[i == 0 ? 0 : i - 1].compute);
  }
  EXPECT_EQ(names.size(), 8);
  EXPECT_DOUBLE_EQ(design.ladder_compute, sum);
  EXPECT_NEAR(design.gap(), design.target.compute / design.ladder[0].compute, 1e-9);
  EXPECT_GE(design.gap(), kLeastGap);
}

TEST(SweepDesign, TheLearningRateFollowsTheWidth) {
  const SweepDesign design = DesignOf(kSweep);
  EXPECT_NEAR(design.target.learning_rate, 0.004 / std::sqrt(80.0 / 32), 1e-12);
  EXPECT_NEAR(design.ladder.back().learning_rate, 0.008, 1e-12);
}

TEST(SweepDesign, AGridAndIsoFlopCurves) {
  const SweepDesign grid =
      DesignOf(With("  tokens_per_param: 5\n  repeats: 2", "  tokens: [10k, 20k, 40k]"));
  EXPECT_EQ(grid.ladder.size(), 12);
  const SweepDesign iso =
      DesignOf(With("  tokens_per_param: 5\n  repeats: 2", "  compute: [1e9, 3e9]"));
  ASSERT_EQ(iso.ladder.size(), 8);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(iso.ladder[i].compute, 3e9, 0.02 * 3e9);
}

TEST(SweepDesign, TheBudgetCostsRepeatsOfTheDearestRuns) {
  const SweepDesign all = DesignOf(kSweep);
  const double budget = all.ladder_compute - 1;
  const SweepDesign less =
      DesignOf(With("repeats: 2", absl::StrCat("repeats: 2\n  budget: ", budget)));
  ASSERT_EQ(less.ladder.size(), 7);
  ASSERT_EQ(less.left_out.size(), 1);
  EXPECT_THAT(less.left_out[0], HasSubstr("d20"));
  EXPECT_THAT(less.left_out[0], HasSubstr("s3002"));
  EXPECT_LE(less.ladder_compute, budget);
  EXPECT_THAT(MistakeOf(With("repeats: 2", "repeats: 2\n  budget: 1e9")),
              HasSubstr("s.yaml: ladder.budget: 1e+09 FLOP; a single run of each"));
}

TEST(SweepDesign, TheTargetIsFarAway) {
  EXPECT_THAT(MistakeOf(With("d_model: 80", "d_model: 40")),
              HasSubstr("times the compute of the largest run of the ladder"));
}

TEST(SweepDesign, MoreSizesThanParametersOfTheLaw) {
  EXPECT_THAT(MistakeOf(With("    - {layers: 2, heads: 2, d_model: 20}\n", "")),
              HasSubstr("runs of 3 different sizes; the law power-compute needs 4"));
  EXPECT_THAT(MistakeOf(With("    - {layers: 2, heads: 2, d_model: 20}\n",
                             "    - {layers: 2, heads: 2, d_model: 16}\n")),
              HasSubstr("there twice"));
}

TEST(SweepDesign, MistakesNameLineAndField) {
  EXPECT_THAT(MistakeOf(With("d_model: 12", "d_model: 13")),
              HasSubstr("s.yaml:7: ladder.shapes[1].heads: 2 does not divide d_model, 13"));
  EXPECT_THAT(MistakeOf(With("tokens_per_param: 5\n  repeats", "tokens: many\n  repeats")),
              HasSubstr("s.yaml:10: ladder.tokens: \"many\" is no amount"));
  EXPECT_THAT(MistakeOf(With("tokens_per_param: 5}", "tokens_per_param: 5, tokens: 1M}")),
              HasSubstr("target.tokens: tokens_per_param and tokens: give one of them"));
  EXPECT_THAT(MistakeOf(With(", tokens_per_param: 5}", "}")), HasSubstr("target.tokens_per_param"));
  EXPECT_THAT(MistakeOf(With("/texts/*", "texts/*")), HasSubstr("should begin with /"));
  EXPECT_THAT(MistakeOf(With("seed: 3", "sede: 3")), HasSubstr("s.yaml:13: sede"));
  EXPECT_THAT(MistakeOf(With("name: small", "name: Small one")), HasSubstr("s.yaml:1: name"));
  EXPECT_THAT(MistakeOf(With("seed: 3", "fit: {law: routed}")), HasSubstr("fit.law"));
  EXPECT_THAT(MistakeOf(With("tokens_per_param: 5\n", "tokens: 10\n")),
              HasSubstr("less than half a step"));
}

TEST(SweepDesign, ConfigurationsSayWhatWasDesigned) {
  const auto config = ParseSweep(kSweep, "s.yaml");
  ASSERT_TRUE(config.ok());
  const SweepRun target = DesignOf(kSweep).target;
  const std::string yaml = TrainYaml(*config, target);
  EXPECT_THAT(yaml, HasSubstr("{layers: 2, heads: 2, d_model: 80, context: 64}"));
  EXPECT_THAT(yaml, HasSubstr(absl::StrCat("steps: ", target.steps, "\nbatch: 2\nseed: 3000\n")));
  EXPECT_THAT(yaml, HasSubstr("text: [\"/texts/*\"], vocab_size: 512"));
  EXPECT_THAT(ManifestYaml(*config, target, "/a/b.yaml"),
              HasSubstr("command: [longrun-worker, train, --config, \"/a/b.yaml\"]"));
}

}  // namespace
}  // namespace longrun::scaling
