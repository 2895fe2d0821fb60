#include "scaling/runs/points.h"

#include <gtest/gtest.h>

#include <cmath>

namespace longrun::scaling {
namespace {

TEST(PointsTest, TheThirdOfNDAndCComesFromTheOtherTwo) {
  Points points(4);
  points[0].params = 2;
  points[0].tokens = 5;
  points[1].params = 2;
  points[1].compute = 60;
  points[2].tokens = 5;
  points[2].compute = 60;
  points[3].params = 2;
  FillByCompute(points);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(points[i].params, 2);
    EXPECT_EQ(points[i].tokens, 5);
    EXPECT_EQ(points[i].compute, 60);
  }
  EXPECT_TRUE(std::isnan(points[3].compute));
}

TEST(PointsTest, WhatIsMeasuredIsNotOverwritten) {
  Points points(1);
  points[0].params = 2;
  points[0].tokens = 5;
  points[0].compute = 61;
  FillByCompute(points);
  EXPECT_EQ(points[0].compute, 61);
}

}  // namespace
}  // namespace longrun::scaling
