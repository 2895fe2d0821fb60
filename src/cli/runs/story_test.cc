#include "cli/runs/story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

api::v1::RunView Running() {
  api::v1::RunView view;
  view.set_phase("running");
  view.set_ranks(2);
  view.set_speaks_protocol(true);
  view.set_now_us(10'000'000);
  return view;
}

api::v1::RecoveryView Fault(int64_t at_us) {
  api::v1::RecoveryView recovery;
  recovery.set_cause("rank 2 was killed by signal 9");
  recovery.set_rung("swap-spare");
  recovery.set_fault_us(at_us);
  return recovery;
}

TEST(StoryTest, TellsPhasesOnce) {
  Story story;
  api::v1::RunView view;
  view.set_phase("starting");
  view.set_ranks(2);
  view.set_spares(1);
  for (const char* node : {"node-0", "node-0", "node-1"}) view.add_members()->set_node(node);
  EXPECT_THAT(story.Update(view),
              ElementsAre("starting 2 ranks and 1 spare on node-0 (2), node-1 (1)"));
  EXPECT_THAT(story.Update(view), IsEmpty());
  view = Running();
  view.set_step(7);
  EXPECT_THAT(story.Update(view), ElementsAre("all ranks are at work, from step 7 on"));
  EXPECT_THAT(story.Update(view), IsEmpty());
  view.set_phase("stopping");
  view.set_reason("Ctrl-C");
  EXPECT_THAT(story.Update(view), ElementsAre("stopping: Ctrl-C"));
}

TEST(StoryTest, TellsOfWaitsThatLast) {
  Story story;
  api::v1::RunView view;
  view.set_phase("pending");
  view.set_reason("needs room for 4 ranks");
  view.set_submitted_us(1);
  view.set_now_us(100'000);
  EXPECT_THAT(story.Update(view), IsEmpty());
  view.set_now_us(2'000'000);
  EXPECT_THAT(story.Update(view), ElementsAre("waits: needs room for 4 ranks"));
  view.set_trouble("the disk is full");
  EXPECT_THAT(story.Update(view), ElementsAre(HasSubstr("the disk is full")));
  EXPECT_THAT(story.Update(view), IsEmpty());
  view.clear_trouble();
  EXPECT_THAT(story.Update(view), ElementsAre("the controller decides again"));
  EXPECT_THAT(story.Update(view), IsEmpty());
}

TEST(StoryTest, TellsAFaultAndWhatBecameOfIt) {
  Story story;
  api::v1::RunView view = Running();
  story.Update(view);
  *view.add_recoveries() = Fault(100);
  EXPECT_THAT(story.Update(view), ElementsAre("rank 2 was killed by signal 9"));
  view.mutable_recoveries(0)->set_over(true);
  view.mutable_recoveries(0)->set_seconds(0.18);
  EXPECT_THAT(story.Update(view), ElementsAre("→ a spare took over in 0.18 s, 0 steps lost"));
  EXPECT_THAT(story.Update(view), IsEmpty());
}

TEST(StoryTest, AFaultThatIsOverBetweenTwoViewsIsOneLine) {
  Story story;
  api::v1::RunView view = Running();
  story.Update(view);
  api::v1::RecoveryView fault = Fault(100);
  fault.set_over(true);
  fault.set_seconds(12);
  fault.set_steps_lost(1);
  *view.add_recoveries() = fault;
  EXPECT_THAT(story.Update(view),
              ElementsAre("rank 2 was killed by signal 9 → a spare took over in 12.0 s, 1 step "
                          "lost"));
}

TEST(StoryTest, HistoryIsNotToldAgain) {
  Story story;
  api::v1::RunView view = Running();
  *view.add_recoveries() = Fault(100);
  view.mutable_recoveries(0)->set_over(true);
  view.add_said("an old line");
  EXPECT_THAT(story.Update(view), ElementsAre("all ranks are at work"));
}

TEST(StoryTest, TellsNewLinesOfAWindowThatMoves) {
  Story story;
  api::v1::RunView view = Running();
  story.Update(view);
  view.add_said("a");
  view.add_said("sample: shown by the summary");
  view.add_said("b");
  EXPECT_THAT(story.Update(view), ElementsAre("a", "b"));
  view.add_said("b");
  EXPECT_THAT(story.Update(view), ElementsAre("b"));
  view.clear_said();
  for (const char* line : {"b", "b", "c"}) view.add_said(line);
  EXPECT_THAT(story.Update(view), ElementsAre("c"));
}

}  // namespace
}  // namespace longrun::cli
