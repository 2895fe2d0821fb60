#include "training/batches.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <tuple>

#include "base/random.h"

namespace longrun::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Permute, IsAPermutationForEveryKey) {
  for (uint64_t n = 1; n < 200; ++n) {
    for (const uint64_t key : {0ull, 1ull, 0xdeadbeefull, ~0ull}) {
      std::vector<bool> hit(n, false);
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t to = Permute(i, n, key);
        ASSERT_LT(to, n);
        ASSERT_FALSE(hit[to]) << n;
        hit[to] = true;
      }
    }
  }
}

TEST(Permute, OfATrillionNeedsNoMemory) {
  const uint64_t n = 1'000'000'000'000;
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint64_t to = Permute(n - 1 - i, n, 7);
    ASSERT_LT(to, n);
    ASSERT_TRUE(seen.insert(to).second);
  }
  EXPECT_LT(Permute((uint64_t{1} << 62) - 1, uint64_t{1} << 62, 1), uint64_t{1} << 62);
}

// Of uniform places the mean lies within 5 standard errors of the middle, and neighbours are not
// correlated.
TEST(Permute, LooksRandom) {
  const uint64_t n = 100'000;
  double sum = 0;
  double products = 0;
  double before = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    const double x = static_cast<double>(Permute(i, n, 42)) / static_cast<double>(n) - 0.5;
    sum += x;
    products += x * before;
    before = x;
  }
  EXPECT_LT(std::abs(sum / 20000), 5 * std::sqrt(1.0 / 12 / 20000));
  EXPECT_LT(std::abs(products / 20000), 5 * (1.0 / 12) / std::sqrt(20000.0));
}

TEST(SequenceOffsets, EachWindowOncePerEpochAndNoTwoOverlap) {
  for (const auto& [tokens, context, batch] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1000, 16, 7}, {17, 16, 3}, {33, 16, 1}, {50, 16, 4}, {997, 10, 13}, {12, 1, 5}}) {
    const int64_t windows = WindowsPerEpoch(context, tokens);
    std::vector<int64_t> all;
    for (int64_t step = 0; static_cast<int64_t>(all.size()) < 5 * windows; ++step) {
      const auto offsets = SequenceOffsets(3, step, batch, context, tokens);
      all.insert(all.end(), offsets.begin(), offsets.end());
    }
    for (int64_t epoch = 0; epoch < 5; ++epoch) {
      std::vector<int64_t> of_epoch(all.begin() + epoch * windows,
                                    all.begin() + (epoch + 1) * windows);
      std::sort(of_epoch.begin(), of_epoch.end());
      EXPECT_GE(of_epoch.front(), 0);
      EXPECT_LE(of_epoch.back() + context + 1, tokens);
      for (size_t i = 1; i < of_epoch.size(); ++i) {
        EXPECT_EQ(of_epoch[i] - of_epoch[i - 1], context) << tokens;
      }
    }
  }
}

TEST(SequenceOffsets, AreAPureFunctionOfSeedAndStep) {
  std::vector<std::vector<int64_t>> forward;
  for (int64_t step = 0; step < 50; ++step) forward.push_back(SequenceOffsets(9, step, 8, 16, 999));
  for (int64_t step = 49; step >= 0; --step) {
    EXPECT_EQ(SequenceOffsets(9, step, 8, 16, 999), forward[static_cast<size_t>(step)]);
  }
  EXPECT_NE(SequenceOffsets(10, 0, 8, 16, 999), forward[0]);
}

// A run goes on after a restart with another program: these numbers may never change.
TEST(SequenceOffsets, StayWhatTheyWereInEarlierVersions) {
  EXPECT_THAT(SequenceOffsets(1, 0, 4, 64, 100000), ElementsAre(92234, 79370, 52298, 83530));
  EXPECT_THAT(SequenceOffsets(1, 1000, 4, 64, 100000), ElementsAre(93469, 66461, 14557, 8477));
}

TEST(SequenceOffsets, ABatchMayCrossEpochs) {
  EXPECT_EQ(WindowsPerEpoch(16, 50), 2);
  EXPECT_EQ(SequenceOffsets(1, 0, 7, 16, 50).size(), 7u);
  EXPECT_DOUBLE_EQ(EpochsDone(2, 7, 16, 50), 7.0);
}

TEST(SequenceOffsets, EpochsShiftTheirWindows) {
  const int64_t windows = WindowsPerEpoch(16, 1000);
  std::set<int64_t> phases;
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    phases.insert(SequenceOffsets(5, epoch, windows, 16, 1000)[0] % 16);
  }
  EXPECT_GT(phases.size(), 8u);
}

TEST(SequenceOffsets, TooFewTokensAreNamed) {
  EXPECT_TRUE(CheckEnoughTokens("a.tokens", 17, 16).ok());
  const absl::Status status = CheckEnoughTokens("a.tokens", 16, 16);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a.tokens holds 16 tokens"));
}

TEST(ShareOf, TakesEachSequenceOnceForAnyNumberOfRanks) {
  for (int64_t batch = 0; batch < 40; ++batch) {
    for (int64_t world = 1; world < 50; ++world) {
      int64_t at = 0;
      for (int64_t rank = 0; rank < world; ++rank) {
        const Share share = ShareOf(batch, rank, world);
        ASSERT_EQ(share.begin, at);
        ASSERT_GE(share.size(), batch / world);
        ASSERT_LE(share.size(), batch / world + 1);
        at = share.end;
      }
      ASSERT_EQ(at, batch);
    }
  }
}

TEST(ReadSequences, TargetsAreTheTokensAfterTheInputs) {
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("longrun_batches_{}", ::getpid());
  auto writer = *TokenFileWriter::Create(path.string(), 100, 0);
  ASSERT_TRUE(writer.AppendDocument(std::vector<model::TokenId>{0, 1, 2, 3, 4, 5, 6}).ok());
  ASSERT_TRUE(writer.Finish().ok());
  const auto file = *TokenFile::Open(path.string());
  std::filesystem::remove(path);
  std::vector<int64_t> inputs(6);
  std::vector<int64_t> targets(6);
  ASSERT_TRUE(ReadSequences(file, std::vector<int64_t>{3, 0}, 3, inputs, targets).ok());
  EXPECT_THAT(inputs, ElementsAre(3, 4, 5, 0, 1, 2));
  EXPECT_THAT(targets, ElementsAre(4, 5, 6, 1, 2, 3));
  EXPECT_FALSE(ReadSequences(file, std::vector<int64_t>{4, 0}, 3, inputs, targets).ok());
}

TEST(EvaluationOffsets, AreSpreadWithoutOverlap) {
  EXPECT_THAT(EvaluationOffsets(3, 10, 101), ElementsAre(0, 30, 60));
  EXPECT_THAT(EvaluationOffsets(100, 10, 35), ElementsAre(0, 10, 20));
  EXPECT_THAT(EvaluationOffsets(1, 10, 11), ElementsAre(0));
}

}  // namespace
}  // namespace longrun::training
