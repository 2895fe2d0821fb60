#include "worker/memory_available.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace longrun::worker {
namespace {

class MemoryAvailableTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "memory_available_test/";
    std::filesystem::remove_all(root_);
    Write("proc/meminfo", "MemTotal:  100 kB\nMemAvailable:     64 kB\nBuffers: 1 kB\n");
  }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  MemoryAvailable Read() {
    const auto read = ReadMemoryAvailable(root_);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.value_or(MemoryAvailable());
  }
  std::string root_;
};

TEST_F(MemoryAvailableTest, IsTheMachinesWithoutCgroups) {
  EXPECT_EQ(Read().bytes, 64 * 1024);
  Write("proc/self/cgroup", "0::/a/b\n");
  EXPECT_EQ(Read().bytes, 64 * 1024);
}

TEST_F(MemoryAvailableTest, IsWhatTheTightestCgroupLeaves) {
  Write("proc/self/cgroup", "1:cpu:/x\n0::/a/b\n");
  Write("sys/fs/cgroup/a/b/memory.max", "max\n");
  Write("sys/fs/cgroup/a/b/memory.current", "5000\n");
  Write("sys/fs/cgroup/a/memory.max", "10000\n");
  Write("sys/fs/cgroup/a/memory.current", "9000\n");
  Write("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500\n");
  EXPECT_EQ(Read().bytes, 1500);
  EXPECT_NE(Read().source.find("cgroup /a"), std::string::npos);
}

TEST_F(MemoryAvailableTest, NeverFallsBelowNothing) {
  Write("sys/fs/cgroup/memory.max", "100\n");
  Write("sys/fs/cgroup/memory.current", "200\n");
  EXPECT_EQ(Read().bytes, 0);
}

TEST_F(MemoryAvailableTest, SaysWhatItCannotRead) {
  Write("proc/meminfo", "MemTotal: 1 kB\n");
  EXPECT_FALSE(ReadMemoryAvailable(root_).ok());
}

TEST_F(MemoryAvailableTest, ReadsThisMachine) {
  const auto read = ReadMemoryAvailable();
  ASSERT_TRUE(read.ok());
  EXPECT_GT(read->bytes, 0);
}

}  // namespace
}  // namespace longrun::worker
