#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/runs/display.h"

namespace longrun::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

api::v1::RunView View(int64_t step, double at_seconds) {
  api::v1::RunView view;
  view.set_run("job");
  view.set_phase("running");
  view.set_step(step);
  view.set_total_steps(100);
  view.set_tokens(step * 1000);
  view.set_now_us(static_cast<int64_t>(at_seconds * 1e6));
  view.set_loss(2.5);
  for (int rank = 0; rank < 40; ++rank) {
    auto& member = *view.add_members();
    member.set_rank(rank);
    member.set_node("node-" + std::to_string(rank));
    member.set_phase("ready");
  }
  return view;
}

size_t Columns(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

TEST(PaceTest, MeasuresTheLastSeconds) {
  Pace pace;
  EXPECT_EQ(pace.tokens_per_second(), 0);
  EXPECT_LT(pace.seconds_left(), 0);
  pace.Add(View(10, 1));
  pace.Add(View(20, 2));
  EXPECT_DOUBLE_EQ(pace.tokens_per_second(), 10'000);
  EXPECT_DOUBLE_EQ(pace.seconds_left(), 8);
  // Twice as slow from here on: after the window has passed, nothing else counts.
  for (int i = 1; i <= 10; ++i) pace.Add(View(20 + 5 * i, 2 + i));
  EXPECT_DOUBLE_EQ(pace.tokens_per_second(), 5'000);
}

TEST(PaceTest, BeginsAnewWhenStepsAreDoneAgain) {
  Pace pace;
  pace.Add(View(50, 1));
  pace.Add(View(60, 2));
  pace.Add(View(40, 3));
  EXPECT_EQ(pace.tokens_per_second(), 0);
  EXPECT_LT(pace.seconds_left(), 0);
}

TEST(PanelTest, FitsAnyWidth) {
  Pace pace;
  pace.Add(View(10, 1));
  pace.Add(View(50, 2));
  for (size_t width = 1; width < 200; ++width) {
    for (const std::string& line : Panel(View(50, 2), pace, width, false)) {
      EXPECT_LE(Columns(line), width) << line;
    }
  }
}

TEST(PanelTest, ShowsTheFigures) {
  Pace pace;
  pace.Add(View(10, 1));
  pace.Add(View(50, 2));
  const std::vector<std::string> lines = Panel(View(50, 2), pace, 120, false);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], HasSubstr("50/100 steps  50%"));
  EXPECT_THAT(lines[0], HasSubstr("━━━━━─────"));
  EXPECT_THAT(lines[1], HasSubstr("loss 2.5000   40,000 tokens/s"));
  EXPECT_THAT(lines[2], HasSubstr("0 node-0 · 1 node-1"));
  EXPECT_THAT(Panel(View(50, 2), pace, 300, false)[2], HasSubstr("and 28 more"));
}

TEST(PanelTest, ColoursOnlyWhenAsked) {
  const Pace pace;
  EXPECT_THAT(Panel(View(5, 1), pace, 80, false)[0], Not(HasSubstr("\x1b")));
  EXPECT_THAT(Panel(View(5, 1), pace, 80, true)[0], HasSubstr("\x1b[32m"));
}

TEST(PanelTest, NoControlCharactersPass) {
  api::v1::RunView view = View(5, 1);
  view.set_phase("pending");
  view.set_reason("a\x1b[2Jb\nc");
  const Pace pace;
  EXPECT_EQ(Panel(view, pace, 80, false).back(), "a [2Jb c");
}

}  // namespace
}  // namespace longrun::cli
