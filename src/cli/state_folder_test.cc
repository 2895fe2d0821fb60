#include "cli/state_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace longrun::cli {
namespace {

class StateFolderTest : public ::testing::Test {
 protected:
  StateFolderTest() {
    for (const char* name : {"LONGRUN_STATE", "XDG_STATE_HOME", "HOME"}) ::unsetenv(name);
  }
};

TEST_F(StateFolderTest, TheFlagGoesFirstThenTheVariables) {
  EXPECT_FALSE(FindStateFolder("").ok());
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(FindStateFolder("")->path, "/home/me/.local/state/longrun");
  ::setenv("XDG_STATE_HOME", "/xdg", 1);
  EXPECT_EQ(FindStateFolder("")->path, "/xdg/longrun");
  ::setenv("LONGRUN_STATE", "/here", 1);
  EXPECT_EQ(FindStateFolder("")->path, "/here");
  EXPECT_EQ(FindStateFolder("/flag/")->path, "/flag");
  // An empty variable is one that is not set.
  ::setenv("LONGRUN_STATE", "", 1);
  EXPECT_EQ(FindStateFolder("")->path, "/xdg/longrun");
}

TEST_F(StateFolderTest, PathsAreAbsoluteAndFitASocket) {
  EXPECT_EQ(FindStateFolder("a/../b")->path, (std::filesystem::current_path() / "b").string());
  EXPECT_EQ(FindStateFolder("/s")->socket(), "/s/control.sock");
  EXPECT_EQ(FindStateFolder("/s")->run("job"), "/s/runs/job");
  EXPECT_TRUE(FindStateFolder("/" + std::string(93, 'x')).ok());
  EXPECT_FALSE(FindStateFolder("/" + std::string(94, 'x')).ok());
}

}  // namespace
}  // namespace longrun::cli
