#include "serving/openai/feedback_store.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "base/file.h"
#include "gtest/gtest.h"

namespace longrun::serving {
namespace {

using nlohmann::json;

class FeedbackStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/longrun-feedback-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path() const { return folder_ + "/feedback.jsonl"; }
  std::unique_ptr<FeedbackStore> Open() {
    auto store = FeedbackStore::Open(folder_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  FeedbackRecords Read() {
    auto read = ReadFeedback(folder_);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? *std::move(read) : FeedbackRecords();
  }
  // Waits until it is on disk.
  static absl::Status Add(FeedbackStore* store, const json& record) {
    std::promise<absl::Status> written;
    if (!store->Add(record, [&](absl::Status status) { written.set_value(status); }))
      return absl::ResourceExhaustedError("too many");
    return written.get_future().get();
  }
  void Append(const std::string& bytes) {
    std::ofstream(Path(), std::ios::app | std::ios::binary) << bytes;
  }

  std::string folder_;
};

TEST_F(FeedbackStoreTest, TheFileGrowsToItsBoundAndNoFurther) {
  for (int round = 0; round < 2; ++round) {  // what was there before counts
    const auto store = FeedbackStore::Open(folder_, 200);
    ASSERT_TRUE(store.ok());
    for (int i = 0; i < 50; ++i) Add(store->get(), {{"i", i}}).IgnoreError();
    EXPECT_TRUE((*store)->full());
  }
  EXPECT_LE(std::filesystem::file_size(Path()), 200u);
  EXPECT_GT(Read().records.size(), 15u);
}

TEST_F(FeedbackStoreTest, KeepsRecordsInTheirOrder) {
  {
    const auto store = Open();
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(Add(store.get(), {{"i", i}, {"s", "é\n\"x\""}}).ok());
  }
  {
    const auto store = Open();
    EXPECT_TRUE(Add(store.get(), {{"i", 100}}).ok());
  }
  const FeedbackRecords read = Read();
  ASSERT_EQ(read.records.size(), 101u);
  EXPECT_EQ(read.skipped_lines, 0);
  for (int i = 0; i <= 100; ++i) EXPECT_EQ(read.records[static_cast<size_t>(i)]["i"], i);
  EXPECT_EQ(read.records[0]["s"], "é\n\"x\"");
  struct stat info {};
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);  // what people wrote is nobody else's
}

TEST_F(FeedbackStoreTest, ATornLastLineCostsItselfAlone) {
  ASSERT_TRUE(Add(Open().get(), {{"i", 0}}).ok());
  const std::string torn = R"({"i": 1, "comment": "cut of)";
  for (size_t cut = 1; cut <= torn.size(); ++cut) {
    std::filesystem::remove(Path());
    ASSERT_TRUE(Add(Open().get(), {{"i", 0}}).ok());
    Append(torn.substr(0, cut));
    EXPECT_EQ(Read().records.size(), 1u);
    ASSERT_TRUE(Add(Open().get(), {{"i", 2}}).ok());
    const FeedbackRecords read = Read();
    ASSERT_EQ(read.records.size(), 2u) << cut;
    EXPECT_EQ(read.records[1]["i"], 2);
    EXPECT_EQ(read.skipped_lines, 1);
  }
}

TEST_F(FeedbackStoreTest, WhatIsNoRecordIsSkippedAndCounted) {
  ASSERT_TRUE(Add(Open().get(), {{"i", 0}}).ok());
  Append("[1]\nnull\n\xFF\xFE\n\n" + std::string(100'000, '[') + "\n{\"i\":1}");
  const FeedbackRecords read = Read();
  EXPECT_EQ(read.records.size(), 2u);
  EXPECT_EQ(read.skipped_lines, 4);
}

// A process that is killed while it appends has every record that it acknowledged.
TEST_F(FeedbackStoreTest, AKillLosesNothingThatWasAcknowledged) {
  for (int round = 0; round < 10; ++round) {
    int acknowledged[2];
    ASSERT_EQ(::pipe(acknowledged), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(acknowledged[0]);
      auto store = FeedbackStore::Open(folder_);
      if (!store.ok()) ::_exit(1);
      for (int i = 0;; ++i) {
        const json record = {{"round", round}, {"i", i}, {"text", std::string(2000, 'x')}};
        while (!(*store)->Add(record, [i, fd = acknowledged[1]](absl::Status written) {
          if (!written.ok() || ::write(fd, &i, sizeof i) != sizeof i) ::_exit(1);
        })) {
        }
      }
    }
    ::close(acknowledged[1]);
    int last = -1;
    for (int i = 0; i < 20 * (round + 1); ++i) ASSERT_EQ(::read(acknowledged[0], &last, 4), 4);
    ::kill(child, SIGKILL);
    while (::read(acknowledged[0], &last, 4) == 4) {
    }
    ::close(acknowledged[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));

    const FeedbackRecords read = Read();
    EXPECT_LE(read.skipped_lines, round + 1);
    int next = 0;
    for (const json& record : read.records) {
      if (record["round"] != round) continue;
      ASSERT_EQ(record["i"], next);
      ++next;
    }
    EXPECT_GT(next, last);
  }
}

TEST_F(FeedbackStoreTest, TellsWhenItCannotWrite) {
  std::filesystem::create_directories(Path());
  EXPECT_FALSE(FeedbackStore::Open(folder_).ok());  // a folder stands where the file should
  std::filesystem::remove(Path());
  // A full disk.
  ASSERT_EQ(::symlink("/dev/full", Path().c_str()), 0);
  auto store = FeedbackStore::Open(folder_);
  if (store.ok()) {
    const absl::Status written = Add(store->get(), {{"i", 0}});
    EXPECT_FALSE(written.ok());
    EXPECT_NE(std::string(written.message()).find(Path()), std::string::npos) << written;
  }
}

TEST_F(FeedbackStoreTest, HoldsABoundedNumberAndWritesThemAllWhenItEnds) {
  std::promise<void> first_came, go_on;
  int done = 0, taken = 0;
  {
    const auto store = Open();
    ASSERT_TRUE(store->Add({{"i", 0}}, [&](absl::Status) {
      ++done;
      first_came.set_value();
      go_on.get_future().wait();
    }));
    first_came.get_future().wait();  // its thread is held up from here
    while (taken < 100'000 && store->Add({{"i", 1}}, [&](absl::Status) { ++done; })) ++taken;
    EXPECT_GE(taken, 100);
    EXPECT_LT(taken, 100'000);
    go_on.set_value();
  }
  EXPECT_EQ(done, taken + 1);
  EXPECT_EQ(Read().records.size(), static_cast<size_t>(done));
}

}  // namespace
}  // namespace longrun::serving
