#include "serving/sample/row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace longrun::serving {
namespace {

using model::TokenId;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// `levels` different values at most: many equals where there are few.
std::vector<float> RandomRow(uint64_t seed, size_t size, uint64_t levels) {
  Random random(seed);
  std::vector<float> row(size);
  for (float& x : row) x = static_cast<float>(random.Below(levels)) * 7.0f / levels - 3.0f;
  return row;
}

const size_t kSizes[] = {1, 2, 15, 16, 17, 64, 511, 512, 513, 1000, 1023, 1025, 5000, 50257};

TEST(Row, ThePeakIsTheFirstOfTheLargest) {
  for (const size_t size : kSizes) {
    for (const uint64_t levels : {1, 3, 1 << 30}) {
      const auto row = RandomRow(size + levels, size, levels);
      const Peak peak = FindPeak(row);
      EXPECT_TRUE(peak.valid);
      EXPECT_EQ(peak.token, std::max_element(row.begin(), row.end()) - row.begin());
      EXPECT_EQ(peak.value, *std::max_element(row.begin(), row.end()));
    }
  }
}

TEST(Row, WhatIsNoNumberIsFoundWhereverItStands) {
  for (const size_t size : {1, 16, 17, 600, 1031}) {
    for (size_t place = 0; place < size; ++place) {
      auto row = RandomRow(size, size, 1000);
      row[place] = std::nanf("");
      ASSERT_FALSE(FindPeak(row).valid);
      row[place] = kInfinity;
      ASSERT_FALSE(FindPeak(row).valid);
      row[place] = -kInfinity;
      ASSERT_EQ(FindPeak(row).valid, size > 1);
    }
  }
  EXPECT_FALSE(FindPeak(std::vector<float>(100, -kInfinity)).valid);
  EXPECT_FALSE(FindPeak({}).valid);
}

TEST(Row, WeightsAreExponentialsToTwoUnitsInTheLastPlace) {
  std::vector<float> row;
  for (int i = 0; i <= 800'000; ++i) row.push_back(static_cast<float>(i) * -1e-4f);
  std::vector<float> weights(row.size());
  std::vector<double> sums;
  const double total = Weigh(row, 0, 1, weights, &sums);
  double exact_total = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double exact = std::exp(static_cast<double>(row[i]));
    ASSERT_NEAR(weights[i] / exact, 1, 2 * 6e-8) << row[i];
    exact_total += weights[i];
  }
  EXPECT_EQ(weights[0], 1.0f);
  EXPECT_NEAR(total / exact_total, 1, 1e-6);
  EXPECT_EQ(sums.size(), (row.size() + kRowBlock - 1) / kRowBlock);
  EXPECT_NEAR(std::accumulate(sums.begin(), sums.end(), 0.0), total, 1e-9 * total);
  EXPECT_EQ(SumOfExp(row, 0), total);
  std::vector<double> sums_alone;
  EXPECT_EQ(Weigh(row, 0, 1, {}, &sums_alone), total);
  EXPECT_EQ(sums_alone, sums);
}

TEST(Row, WhatCannotComeWeighsNothing) {
  const std::vector<float> row = {-kInfinity, 2, -1e30f, 1, -86};
  std::vector<float> weights(row.size());
  std::vector<double> sums;
  for (const float scale : {1e-30f, 1.0f, 1e30f}) {
    Weigh(row, 2, scale, weights, &sums);
    EXPECT_EQ(weights[0], 0);
    EXPECT_EQ(weights[1], 1);
  }
  EXPECT_EQ(weights[2], 0);
  EXPECT_EQ(weights[3], 0);
}

TEST(Row, TheLargestAreThoseASortGives) {
  for (const size_t size : kSizes) {
    for (const uint64_t levels : {2, 50, 1 << 30}) {
      auto row = RandomRow(size * 3 + levels, size, levels);
      if (levels == 50)
        std::fill(row.begin(), row.begin() + static_cast<int64_t>(size) / 2, -kInfinity);
      std::vector<TokenId> order(size);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
        return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)];
      });
      for (const size_t k :
           {size_t{1}, size_t{2}, size_t{40}, size_t{512}, size_t{513}, size_t{4000}, size}) {
        if (k > size) continue;
        std::vector<TokenId> right(order.begin(), order.begin() + static_cast<int64_t>(k));
        std::sort(right.begin(), right.end());
        ASSERT_EQ(Largest(row, static_cast<int64_t>(k)), right) << size << " " << k;
      }
    }
  }
}

TEST(Row, AtLeastKeepsTheOrder) {
  const auto row = RandomRow(5, 1037, 20);
  std::vector<TokenId> right;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] >= 2) right.push_back(static_cast<TokenId>(i));
  }
  std::vector<TokenId> tokens;
  AppendAtLeast(row, 2, &tokens);
  EXPECT_EQ(tokens, right);
}

TEST(Row, WhatIsBetweenKeepsItsOrder) {
  auto row = RandomRow(5, 1037, 20);
  for (float& x : row) x = std::max(0.0f, x);
  std::vector<TokenId> right;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] >= 1 && row[i] < 3) right.push_back(static_cast<TokenId>(i));
  }
  ASSERT_GT(right.size(), 10);
  std::vector<TokenId> tokens;
  AppendBetween(row, 1, 3, &tokens);
  EXPECT_EQ(tokens, right);
}

TEST(Row, TheMassIsTheSumOfWhatWeighsEnough) {
  for (const size_t size : {1, 15, 512, 1037, 50257}) {
    auto row = RandomRow(6, size, 1000);
    for (float& x : row) x = std::exp(-std::abs(x));
    double sum = 0;
    int64_t count = 0;
    for (const float x : row) {
      if (x < 0.25f) continue;
      sum += x;
      ++count;
    }
    std::vector<double> block_sums;
    const Mass mass = MassAtLeast(row, 0.25f, &block_sums);
    EXPECT_EQ(mass.count, count);
    EXPECT_NEAR(mass.sum, sum, 1e-6 * std::max(sum, 1.0));
    EXPECT_EQ(block_sums.size(), (size + kRowBlock - 1) / kRowBlock);
    EXPECT_EQ(std::accumulate(block_sums.begin(), block_sums.end(), 0.0), mass.sum);
  }
}

}  // namespace
}  // namespace longrun::serving
