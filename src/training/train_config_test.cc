#include "training/train_config.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longrun::training {
namespace {

constexpr char kSmall[] = "data: {text: [a.txt]}\n";

std::string Mistakes(const std::string& more) {
  const auto config = ParseTrainConfig(absl::StrCat(kSmall, more), "gpt.yaml");
  return config.ok() ? "" : std::string(config.status().message());
}

TEST(TrainConfig, DefaultsStandForWhatIsNotSaid) {
  const auto config = ParseTrainConfig(kSmall, "gpt.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->steps, 1000);
  EXPECT_EQ(config->schedule.decay_steps, 1000);
  EXPECT_DOUBLE_EQ(config->schedule.min_lr, config->schedule.lr / 10);
  EXPECT_EQ(config->checkpoint.every, CheckpointConfig::Every::kAuto);
}

TEST(TrainConfig, TokensBecomeSteps) {
  const auto config = ParseTrainConfig(
      absl::StrCat(kSmall, "model: {context: 100}\nbatch: 10\ntokens: 2001\n"), "f");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->steps, 3);
}

TEST(TrainConfig, CheckpointsComeBySteps_Seconds_OrByThemselves) {
  const auto every = [](const std::string& text) {
    const auto config =
        ParseTrainConfig(absl::StrCat(kSmall, "checkpoint: {every: ", text, "}\n"), "f");
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? config->checkpoint : CheckpointConfig{};
  };
  EXPECT_EQ(every("auto").every, CheckpointConfig::Every::kAuto);
  EXPECT_EQ(every("250").steps, 250);
  EXPECT_EQ(every("1m30s").seconds, 90);
}

TEST(TrainConfig, MistakesNameFileLineAndField) {
  using testing::HasSubstr;
  EXPECT_THAT(Mistakes("steps: -3\n"), HasSubstr("gpt.yaml:2: steps"));
  EXPECT_THAT(Mistakes("stepz: 3\n"), HasSubstr("steps"));
  EXPECT_THAT(Mistakes("steps: 3\ntokens: 5\n"), HasSubstr("tokens"));
  EXPECT_THAT(Mistakes("model: {heads: 5, d_model: 384}\n"), HasSubstr("does not divide"));
  EXPECT_THAT(Mistakes("precision: fp8\n"), HasSubstr("precision"));
  EXPECT_THAT(Mistakes("optimizer: {kind: lion}\n"), HasSubstr("optimizer.kind"));
  EXPECT_THAT(Mistakes("checkpoint: {every: soon}\n"), HasSubstr("checkpoint.every"));
  EXPECT_THAT(Mistakes("schedule: {lr: .nan}\n"), HasSubstr("schedule.lr"));
  EXPECT_THAT(Mistakes("steps: 10\nschedule: {warmup_steps: 20}\n"), HasSubstr("warmup_steps"));
  EXPECT_FALSE(ParseTrainConfig("steps: 3\n", "f").ok());  // no text
}

TEST(TrainConfig, AnIntervalIsAutoOrStepsOrATime) {
  CheckpointConfig checkpoint;
  ASSERT_TRUE(SetEvery("25", &checkpoint).ok());
  EXPECT_EQ(checkpoint.every, CheckpointConfig::Every::kSteps);
  EXPECT_EQ(checkpoint.steps, 25);
  ASSERT_TRUE(SetEvery("1500ms", &checkpoint).ok());
  EXPECT_EQ(checkpoint.every, CheckpointConfig::Every::kSeconds);
  EXPECT_DOUBLE_EQ(checkpoint.seconds, 1.5);
  EXPECT_THAT(std::string(SetEvery("0", &checkpoint).message()),
              ::testing::HasSubstr("at least 1"));
  EXPECT_THAT(std::string(SetEvery("-3s", &checkpoint).message()), ::testing::HasSubstr("-3s"));
  EXPECT_DOUBLE_EQ(checkpoint.seconds, 1.5);  // a mistake changes nothing
  ASSERT_TRUE(SetEvery("auto", &checkpoint).ok());
  EXPECT_EQ(checkpoint.every, CheckpointConfig::Every::kAuto);
}

TEST(TrainConfig, TheHashTellsTrainingsApartAndNothingElse) {
  const auto hash = [](const std::string& more) {
    return ParseTrainConfig(absl::StrCat(kSmall, more), "f").value().Hash();
  };
  const std::string base = "schedule: {decay_steps: 500}\n";
  const uint64_t plain = hash(base);
  EXPECT_NE(plain, hash(absl::StrCat(base, "seed: 2\n")));
  EXPECT_NE(plain, hash(absl::StrCat(base, "model: {layers: 3}\n")));
  EXPECT_NE(plain, hash(absl::StrCat(base, "batch: 31\n")));
  EXPECT_NE(plain, hash("schedule: {decay_steps: 501}\n"));
  EXPECT_NE(plain, hash(absl::StrCat(base, "optimizer: {kind: adam}\n")));
  EXPECT_EQ(plain, hash(absl::StrCat(base, "steps: 2000\n")));
  EXPECT_EQ(plain,
            hash(absl::StrCat(base, "micro_batch: 2\nbucket_mb: 3\ncheckpoint: {every: 7}\n")));
}

}  // namespace
}  // namespace longrun::training
