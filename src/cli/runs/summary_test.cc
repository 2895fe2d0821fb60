#include "cli/runs/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace longrun::cli {
namespace {

using ::testing::HasSubstr;

api::v1::RunView Finished() {
  api::v1::RunView view;
  view.set_run("job");
  view.set_phase("succeeded");
  view.set_over(true);
  view.set_step(300);
  view.set_loss(1.5);
  view.set_goodput(0.9);
  view.set_checkpoint_step(-1);
  (*view.mutable_metrics())["validation_loss"] = 1.75;
  view.add_said("model saved to /runs/job/model");
  view.add_said("sample: One line\nand another");
  auto& recovery = *view.add_recoveries();
  recovery.set_cause("rank 2 was killed by signal 9");
  recovery.set_rung("swap-spare");
  recovery.set_seconds(0.18);
  recovery.set_over(true);
  return view;
}

TEST(SummaryTest, JsonHasWhatProgramsReadAndNoMore) {
  const auto json = SummaryJson(Finished(), "/runs/job", 61.5);
  EXPECT_EQ(json["run"], "job");
  EXPECT_EQ(json["phase"], "succeeded");
  EXPECT_EQ(json["steps"], 300);
  EXPECT_EQ(json["committed_steps_lost"], 0);
  EXPECT_EQ(json["final_loss"], 1.5);
  EXPECT_EQ(json["validation_loss"], 1.75);
  EXPECT_EQ(json["model_dir"], "/runs/job/model");
  EXPECT_EQ(json["wall_seconds"], 61.5);
  ASSERT_EQ(json["recoveries"].size(), 1u);
  EXPECT_EQ(json["recoveries"][0]["cause"], "rank 2 was killed by signal 9");
  EXPECT_EQ(json["recoveries"][0]["rung"], "swap-spare");
  EXPECT_EQ(json["recoveries"][0]["seconds"], 0.18);
  EXPECT_EQ(json.dump().find('\n'), std::string::npos);
}

TEST(SummaryTest, FiguresThatWereNotReportedAreNull) {
  api::v1::RunView view;
  view.set_phase("failed");
  const auto json = SummaryJson(view, "/runs/job", 1);
  for (const char* key : {"final_loss", "validation_loss", "model_dir", "total_steps"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
  // JSON knows no NaN.
  view.set_loss(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(SummaryJson(view, "", 1)["final_loss"].is_null());
}

TEST(SummaryTest, TextTellsPeopleAndWhatToTypeNext) {
  const std::string text = SummaryText(Finished(), "/runs/job", 61, {.programs = "build/bin/"});
  EXPECT_THAT(text, HasSubstr("job succeeded after 1 min 01 s"));
  EXPECT_THAT(text, HasSubstr("validation loss  1.7500"));
  EXPECT_THAT(text, HasSubstr("steps lost       0"));
  EXPECT_THAT(text, HasSubstr("killed by signal 9 → a spare took over in 0.18 s"));
  EXPECT_THAT(text, HasSubstr("  | One line\n  | and another\n"));
  EXPECT_THAT(text, HasSubstr("build/bin/longrun-worker sample --model /runs/job/model"));
  EXPECT_THAT(text, HasSubstr("build/bin/longrun serve job"));
  EXPECT_THAT(text, HasSubstr("build/bin/longrun why job"));
}

TEST(SummaryTest, WhatToTypeNextNamesTheStateFolderThatWasGiven) {
  const std::string text = SummaryText(Finished(), "/a b/runs/job", 61, {.state = "/it's here"});
  EXPECT_THAT(text, HasSubstr("longrun why job --state '/it'\\''s here'"));
  EXPECT_THAT(text, HasSubstr("longrun serve /runs/job/model"));
}

TEST(SummaryTest, ViewsOfProgramsWithOddTextAreStillJson) {
  api::v1::RunView view = Finished();
  view.mutable_members()->Add()->set_rank(-1);
  const auto json = ViewJson(view);
  EXPECT_TRUE(json["members"][0]["rank"].is_null());
  EXPECT_TRUE(json["checkpoint_step"].is_null());
  EXPECT_EQ(json["metrics"]["validation_loss"], 1.75);
}

}  // namespace
}  // namespace longrun::cli
