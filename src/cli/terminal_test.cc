#include "cli/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace longrun::cli {
namespace {

// A terminal of our own: what is on its other side does not matter here.
class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
    master_ = ::posix_openpt(O_RDWR | O_NOCTTY);
    const bool made = master_ >= 0 && ::grantpt(master_) == 0 && ::unlockpt(master_) == 0;
    const int slave = made ? ::open(::ptsname(master_), O_RDWR | O_NOCTTY) : -1;
    if (slave < 0) GTEST_SKIP() << "this machine gives no terminals (a chroot without /dev/pts?)";
    terminal_ = ::fdopen(slave, "w");
    file_ = std::tmpfile();
    ASSERT_NE(file_, nullptr);
  }
  void TearDown() override {
    if (terminal_ != nullptr) std::fclose(terminal_);
    if (file_ != nullptr) std::fclose(file_);
    if (master_ >= 0) ::close(master_);
  }
  std::optional<int> ColumnsOf(unsigned short columns) const {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    EXPECT_EQ(::ioctl(master_, TIOCSWINSZ, &size), 0);
    return WindowColumns(terminal_);
  }

  int master_ = -1;
  FILE* terminal_ = nullptr;
  FILE* file_ = nullptr;
};

TEST_F(TerminalTest, ACursorMovesOnATerminalThatCan) {
  EXPECT_TRUE(MovesCursor(terminal_));
  EXPECT_FALSE(MovesCursor(file_));
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(MovesCursor(terminal_));
  ::setenv("TERM", "", 1);
  EXPECT_FALSE(MovesCursor(terminal_));
  ::unsetenv("TERM");
  EXPECT_FALSE(MovesCursor(terminal_));
}

TEST_F(TerminalTest, ColourGoesWhereTheCursorMovesUnlessItIsNotWanted) {
  EXPECT_TRUE(ShowsColour(terminal_));
  EXPECT_FALSE(ShowsColour(file_));
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(ShowsColour(terminal_));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(ShowsColour(terminal_));
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(ShowsColour(terminal_));
}

TEST_F(TerminalTest, TheWindowIsAsWideAsItSays) {
  EXPECT_EQ(ColumnsOf(132), 132);
  EXPECT_EQ(ColumnsOf(20), 20);
  EXPECT_EQ(ColumnsOf(19), std::nullopt);
  EXPECT_EQ(ColumnsOf(0), std::nullopt);
  EXPECT_EQ(WindowColumns(file_), std::nullopt);
}

}  // namespace
}  // namespace longrun::cli
