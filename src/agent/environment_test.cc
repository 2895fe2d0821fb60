#include "agent/environment.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

class EnvironmentTest : public testing::Test {
 protected:
  EnvironmentTest() {
    member_.run = fleet::RunId("first-run");
    member_.member = 17;
    member_.accelerators = {0, 3};
    member_.incarnation = 4;
    member_.rank = 2;
    member_.world = 4;
    member_.local_rank = 1;
    member_.local_world = 2;
    member_.master_address = "10.0.0.1";
    member_.master_port = 29511;
    facts_ = {"node-1", "/state/rank.sock", "/opt/longrun/bin", false};
  }
  std::string Get(const std::string& name) {
    std::string found = "(none)";
    for (const std::string& entry :
         RankEnvironment(inherited_, spec_, member_, facts_, "/runs/first-run")) {
      if (entry.starts_with(name + "=")) found = entry.substr(name.size() + 1);
    }
    return found;
  }

  std::map<std::string, std::string> inherited_;
  fleet::RunSpec spec_;
  fleet::DesiredMember member_;
  NodeFacts facts_;
};

TEST_F(EnvironmentTest, GivesTheWholeContract) {
  EXPECT_EQ(Get("RANK"), "2");
  EXPECT_EQ(Get("WORLD_SIZE"), "4");
  EXPECT_EQ(Get("LOCAL_RANK"), "1");
  EXPECT_EQ(Get("LOCAL_WORLD_SIZE"), "2");
  EXPECT_EQ(Get("MASTER_ADDR"), "10.0.0.1");
  EXPECT_EQ(Get("MASTER_PORT"), "29511");
  EXPECT_EQ(Get("LONGRUN_RUN"), "first-run");
  EXPECT_EQ(Get("LONGRUN_MEMBER"), "17");
  EXPECT_EQ(Get("LONGRUN_INCARNATION"), "4");
  EXPECT_EQ(Get("LONGRUN_ROLE"), "rank");
  EXPECT_EQ(Get("LONGRUN_NODE"), "node-1");
  EXPECT_EQ(Get("LONGRUN_ACCELERATORS"), "0,3");
  EXPECT_EQ(Get("LONGRUN_RUN_DIR"), "/runs/first-run");
  EXPECT_EQ(Get("LONGRUN_SOCKET"), "/state/rank.sock");
  EXPECT_EQ(Get("CUDA_VISIBLE_DEVICES"), "(none)");
  facts_.nvidia = true;
  EXPECT_EQ(Get("CUDA_VISIBLE_DEVICES"), "0,3");
}

TEST_F(EnvironmentTest, ASpareHasNoPlaceInAGangEvenIfTheAgentHadOne) {
  member_.rank = -1;
  inherited_ = {{"RANK", "7"}, {"MASTER_ADDR", "elsewhere"}, {"LONGRUN_STRAY", "1"}};
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
                           "MASTER_PORT", "LONGRUN_STRAY"}) {
    EXPECT_EQ(Get(name), "(none)") << name;
  }
  EXPECT_EQ(Get("LONGRUN_ROLE"), "spare");
}

TEST_F(EnvironmentTest, TheManifestOverridesTheAgentAndTheContractBoth) {
  inherited_ = {{"OMP_NUM_THREADS", "8"}, {"HOME", "/root"}};
  spec_.env = {{"OMP_NUM_THREADS", "1"}, {"RANK", "99"}};
  EXPECT_EQ(Get("OMP_NUM_THREADS"), "1");
  EXPECT_EQ(Get("HOME"), "/root");
  EXPECT_EQ(Get("RANK"), "2");
}

TEST_F(EnvironmentTest, HowOftenToWriteACheckpointIsToldUnlessItIsLeftToTheProgram) {
  inherited_ = {{"LONGRUN_CHECKPOINT_EVERY", "9"}};
  EXPECT_EQ(Get("LONGRUN_CHECKPOINT_EVERY"), "(none)");
  spec_.checkpoint.automatic = false;
  spec_.checkpoint.every_steps = 100;
  EXPECT_EQ(Get("LONGRUN_CHECKPOINT_EVERY"), "100");
  spec_.checkpoint.every_steps = 0;
  spec_.checkpoint.every = Duration::Seconds(2.5);
  EXPECT_EQ(Get("LONGRUN_CHECKPOINT_EVERY"), "2500ms");
}

TEST_F(EnvironmentTest, ProgramsBesideLongrunAreFoundLast) {
  inherited_ = {{"PATH", "/usr/bin"}};
  EXPECT_EQ(Get("PATH"), "/usr/bin:/opt/longrun/bin");
  inherited_.clear();
  EXPECT_TRUE(Get("PATH").ends_with("/bin:/opt/longrun/bin"));
}

}  // namespace
}  // namespace longrun::agent
