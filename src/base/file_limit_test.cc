#include "base/file_limit.h"

#include <sys/resource.h>

#include "gtest/gtest.h"

namespace longrun {
namespace {

TEST(FileLimitTest, RisesAsFarAsItMayAndNeverFalls) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_GE(before.rlim_max, 64u);
  const rlimit low{32, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto current = [] {
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    return static_cast<int64_t>(now.rlim_cur);
  };
  EXPECT_EQ(RaiseFileLimit(48), 48);
  EXPECT_EQ(current(), 48);
  EXPECT_EQ(RaiseFileLimit(40), 48);
  EXPECT_EQ(current(), 48);
  EXPECT_EQ(RaiseFileLimit(kAllFiles), static_cast<int64_t>(before.rlim_max));
  EXPECT_EQ(current(), static_cast<int64_t>(before.rlim_max));
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace longrun
