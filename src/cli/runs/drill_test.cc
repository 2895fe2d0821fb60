#include "cli/runs/drill.h"

#include <gtest/gtest.h>

namespace longrun::cli {
namespace {

api::v1::RunView ViewAt(int64_t step, int64_t total) {
  api::v1::RunView view;
  view.set_run("job");
  view.set_phase("running");
  view.set_ranks(4);
  view.set_step(step);
  view.set_total_steps(total);
  for (int rank = 0; rank < 4; ++rank) {
    auto& member = *view.add_members();
    member.set_rank(rank);
    member.set_node(rank < 2 ? "node-0" : "node-1");
  }
  auto& spare = *view.add_members();
  spare.set_rank(-1);
  spare.set_node("node-2");
  return view;
}

TEST(DrillTest, ComesAtAStepOrAPercentage) {
  const Drill half = ParseDrill("kill-rank@50%").value();
  EXPECT_FALSE(half.Due(ViewAt(49, 100)));
  EXPECT_TRUE(half.Due(ViewAt(50, 100)));
  EXPECT_FALSE(half.Due(ViewAt(1000, 0)));  // the total is not known
  const Drill at = ParseDrill("hang-rank:3@120").value();
  EXPECT_FALSE(at.Due(ViewAt(119, 0)));
  EXPECT_TRUE(at.Due(ViewAt(121, 0)));
  api::v1::RunView recovering = ViewAt(121, 0);
  recovering.set_phase("recovering");
  EXPECT_FALSE(at.Due(recovering));
}

TEST(DrillTest, ChoosesWhatWasLeftOpen) {
  const api::v1::RunView view = ViewAt(50, 100);
  EXPECT_EQ(ParseDrill("kill-rank@50%")->RequestFor(view).rank(), 2);
  EXPECT_EQ(ParseDrill("kill-rank:0@50%")->RequestFor(view).rank(), 0);
  EXPECT_EQ(ParseDrill("kill-node@50%")->RequestFor(view).node(), "node-1");
  EXPECT_EQ(ParseDrill("kill-node:node-2@50%")->RequestFor(view).node(), "node-2");
  EXPECT_EQ(ParseDrill("kill-controller@5")->RequestFor(view).kind(), "kill-controller");
}

TEST(DrillTest, RefusesWhatMakesNoSense) {
  for (const char* bad :
       {"", "kill-rank", "kill-rank@", "kill-rank@0%", "kill-rank@100%", "kill-rank@nan%",
        "kill-rank@-5", "kill-rank:x@5", "kill-rank:-1@5", "explode@5", "@5"}) {
    EXPECT_FALSE(ParseDrill(bad).ok()) << bad;
  }
  const absl::Status status = ParseDrill("kill-rnak@5").status();
  EXPECT_NE(status.message().find("did you mean \"kill-rank\"?"), absl::string_view::npos);
}

}  // namespace
}  // namespace longrun::cli
