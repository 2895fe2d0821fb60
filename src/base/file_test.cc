#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace longrun {
namespace {

class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    char pattern[] = "/tmp/longrun-file-test.XXXXXX";
    folder_ = ::mkdtemp(pattern);
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(FileTest, WritesAndReadsBack) {
  const std::string path = folder_ + "/f";
  const std::string content("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomically(path, content).ok());
  EXPECT_EQ(ReadFile(path).value(), content);
  ASSERT_TRUE(WriteFileAtomically(path, "new").ok());
  EXPECT_EQ(ReadFile(path).value(), "new");
  // No temporary file stays behind.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FileTest, ReadingNamesThePathAndTheLimit) {
  const std::string path = folder_ + "/big";
  std::ofstream(path) << std::string(1000, 'x');
  EXPECT_TRUE(ReadFile(path, 1000).ok());
  const absl::Status too_big = ReadFile(path, 999).status();
  EXPECT_EQ(too_big.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(too_big.message().find("999"), std::string::npos);
  const absl::Status missing = ReadFile(folder_ + "/none").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.message().find(folder_ + "/none"), std::string::npos);
  EXPECT_FALSE(ReadFile(folder_).ok());
}

TEST_F(FileTest, AFailedWriteLeavesTheOldContent) {
  const std::string path = folder_ + "/sub";
  ASSERT_TRUE(MakeFolder(path + "/inner").ok());
  // A folder that is not empty cannot be replaced by a file.
  EXPECT_FALSE(WriteFileAtomically(path, "x").ok());
  EXPECT_TRUE(std::filesystem::is_directory(path + "/inner"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_FALSE(WriteFileAtomically(folder_ + "/none/f", "x").ok());
}

TEST_F(FileTest, MakesFoldersOnceAndAgain) {
  EXPECT_TRUE(MakeFolder(folder_ + "/a/b/c").ok());
  EXPECT_TRUE(MakeFolder(folder_ + "/a/b/c").ok());
  std::ofstream(folder_ + "/file") << "x";
  EXPECT_FALSE(MakeFolder(folder_ + "/file/under").ok());
  EXPECT_TRUE(SyncFolder(folder_).ok());
  EXPECT_FALSE(SyncFolder(folder_ + "/none").ok());
}

}  // namespace
}  // namespace longrun
