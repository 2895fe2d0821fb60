#include "base/blocked_signals.h"

#include <unistd.h>

#include "gtest/gtest.h"

namespace longrun {
namespace {

TEST(BlockedSignalsTest, AreHeardWhenAskedForOnceEach) {
  const BlockedSignals signals({SIGUSR1, SIGUSR2});
  EXPECT_EQ(signals.Wait({}), 0);
  // Unblocked, either would end the program.
  ::kill(::getpid(), SIGUSR2);
  EXPECT_EQ(signals.Wait(Duration::Minutes(1)), SIGUSR2);
  ::kill(::getpid(), SIGUSR1);
  EXPECT_EQ(signals.Wait(Duration::Minutes(1)), SIGUSR1);
  EXPECT_EQ(signals.Wait({}), 0);
  EXPECT_EQ(sigismember(&signals.set(), SIGUSR1), 1);
  EXPECT_EQ(sigismember(&signals.set(), SIGTERM), 0);
}

}  // namespace
}  // namespace longrun
