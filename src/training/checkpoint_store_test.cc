#include "training/checkpoint_store.h"

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/safetensors.h"
#include "training/checkpoint_writer.h"

namespace longrun::training {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int64_t kFloats = 50'000;  // 200 kB a tensor
constexpr uint64_t kConfig = 11, kLayout = 22;

class CheckpointStoreTest : public testing::Test {
 protected:
  CheckpointStoreTest() {
    char name[] = "/tmp/longrun-checkpoints-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~CheckpointStoreTest() override { fs::remove_all(folder_); }

  static NamedTensors Tensors(double value) {
    return {{"parameters", at::full({kFloats}, value)}, {"moments", at::full({kFloats}, -value)}};
  }
  // Writes and waits for what becomes of it.
  CheckpointOutcome Write(const std::string& checkpoints, int64_t step, double value) {
    auto bell = std::make_shared<Bell>();
    CheckpointWriter writer(checkpoints, bell);
    CheckpointJob job;
    job.step = step;
    job.config_hash = kConfig;
    job.layout_hash = kLayout;
    job.incarnation = 1;
    writer.GiveUpBefore(1);
    writer.Write(job, Tensors(value));
    bell->WaitUntil([&] { return writer.idle(); });
    return *writer.Take();
  }
  absl::StatusOr<int64_t> Load(const NamedTensors& tensors, uint64_t config = kConfig,
                               uint64_t layout = kLayout) {
    warnings_.clear();
    touched_ = false;
    return LoadNewest(
        folder_, config, layout, tensors,
        [this](const std::string& warning) { warnings_.push_back(warning); }, &touched_);
  }
  std::string Shard(int64_t step) {
    return folder_ + "/" + CheckpointName(step) + "/" + ShardName(0, 1);
  }

  std::string folder_;
  std::vector<std::string> warnings_;
  bool touched_ = false;
};

TEST_F(CheckpointStoreTest, OneOfAnotherModelIsPassedOverAndChangesNothing) {
  ASSERT_TRUE(Write(folder_, 10, 1.0).published);
  const NamedTensors tensors = Tensors(7.0);
  EXPECT_TRUE(absl::IsNotFound(Load(tensors, kConfig, kLayout + 1).status()));
  EXPECT_THAT(warnings_, Contains(HasSubstr("another model")));
  EXPECT_TRUE(absl::IsNotFound(Load(tensors, kConfig + 1).status()));
  EXPECT_THAT(warnings_, Contains(HasSubstr("another configuration")));
  const NamedTensors fewer = {tensors[0]};
  EXPECT_TRUE(absl::IsNotFound(Load(fewer).status()));
  EXPECT_THAT(warnings_, Contains(HasSubstr("another optimizer")));
  const NamedTensors larger = {{"parameters", at::full({kFloats + 1}, 7.0)},
                               {"moments", at::full({kFloats + 1}, 7.0)}};
  EXPECT_TRUE(absl::IsNotFound(Load(larger).status()));
  EXPECT_FALSE(touched_);
  EXPECT_EQ(tensors[0].second[123].item<double>(), 7.0);
  // Nor is it deleted for one that is ours.
  Prune(folder_, 1, kConfig + 1);
  EXPECT_EQ(*Load(tensors), 10);
  EXPECT_EQ(tensors[1].second[123].item<double>(), -1.0);
}

TEST_F(CheckpointStoreTest, EveryTurnedBitAndEveryCutOfAShardIsSeen) {
  ASSERT_TRUE(Write(folder_, 10, 1.0).published);
  const auto content = ReadFile(Shard(10));
  ASSERT_TRUE(content.ok());
  const NamedTensors tensors = Tensors(0);
  for (size_t at = 0; at < content->size(); at += 9973) {
    std::string damaged = *content;
    damaged[at] ^= 1;
    ASSERT_TRUE(WriteFileAtomically(Shard(10), damaged).ok());
    EXPECT_FALSE(Load(tensors).ok()) << at;
    ASSERT_TRUE(WriteFileAtomically(Shard(10), content->substr(0, at)).ok());
    EXPECT_FALSE(Load(tensors).ok()) << at;
  }
  ASSERT_TRUE(WriteFileAtomically(Shard(10), *content).ok());
  EXPECT_EQ(*Load(tensors), 10);
}

// A file that was written wrong has the checksum that its manifest names.
TEST_F(CheckpointStoreTest, OffsetsThatOverlapAreRefusedThoughTheChecksumFits) {
  ASSERT_TRUE(Write(folder_, 10, 1.0).published);
  ASSERT_TRUE(Write(folder_, 20, 2.0).published);
  std::string content = ReadFile(Shard(20)).value();
  const std::string offsets = "[0,200000]", overlapping = "[4,200004]";
  const size_t at = content.find(offsets);
  ASSERT_NE(at, std::string::npos);
  content.replace(at, offsets.size(), overlapping);
  ASSERT_TRUE(WriteFileAtomically(Shard(20), content).ok());
  const std::string path = folder_ + "/" + CheckpointName(20) + "/manifest.json";
  CheckpointManifest manifest = ParseManifest(ReadFile(path).value(), path).value();
  manifest.shards[0].checksum = model::ChecksumFile(Shard(20))->checksum;
  ASSERT_TRUE(WriteFileAtomically(path, FormatManifest(manifest)).ok());
  const NamedTensors tensors = Tensors(0);
  EXPECT_EQ(*Load(tensors), 10);
  EXPECT_THAT(warnings_, Contains(HasSubstr(Shard(20))));
  EXPECT_EQ(tensors[0].second[kFloats - 1].item<double>(), 1.0);
}

TEST_F(CheckpointStoreTest, AFullDiskCostsOneCheckpointAndNoOlderOne) {
  const std::string disk = folder_ + "/disk";
  ASSERT_TRUE(MakeFolder(disk).ok());
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting a small disk takes root";
  }
  const std::string mine = folder_;
  folder_ = disk;
  ASSERT_TRUE(Write(disk, 10, 1.0).published);  // 400 of 1,024 kB
  std::ofstream(disk + "/ballast") << std::string(400 << 10, 'x');
  const CheckpointOutcome full = Write(disk, 20, 2.0);
  EXPECT_FALSE(full.published);
  EXPECT_THAT(std::string(full.status.message()), HasSubstr("No space left on device"));
  const NamedTensors tensors = Tensors(0);
  EXPECT_EQ(*Load(tensors), 10);
  unlink((disk + "/ballast").c_str());
  RemovePartial(disk);
  EXPECT_TRUE(Write(disk, 30, 3.0).published);
  EXPECT_EQ(*Load(tensors), 30);
  EXPECT_EQ(tensors[0].second[0].item<double>(), 3.0);
  umount2(disk.c_str(), MNT_DETACH);
  folder_ = mine;
}

}  // namespace
}  // namespace longrun::training
