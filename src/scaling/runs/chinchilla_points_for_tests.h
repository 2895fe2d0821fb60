// The public points that tests hold fits against, where they are at hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "scaling/runs/csv.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

// Where public data lies: $LONGRUN_DATA, else ../shared/data beside the source tree.
inline std::string DataPath(const std::string& file) {
  const char* data = std::getenv("LONGRUN_DATA");
  if (data != nullptr && *data != '\0') return std::string(data) + "/" + file;
  const char* source = std::getenv("LONGRUN_SOURCE");
  return std::string(source == nullptr ? "." : source) + "/../shared/data/" + file;
}

// The 245 points read off figure 4 of Hoffmann et al. 2022 (epoch-research/analyzing-chinchilla);
// empty where the file is not there.
inline Points ChinchillaPoints() {
  std::ifstream in(DataPath("scaling/chinchilla_figure4_points.csv"));
  Points points;
  if (!in) return points;
  CsvReader reader(in, "chinchilla_figure4_points.csv");
  EXPECT_TRUE(reader.ReadHeader().ok());
  const int params = reader.Column("Model Size").value();
  const int compute = reader.Column("Training FLOP").value();
  const int loss = reader.Column("loss").value();
  while (reader.Next().value()) {
    Point& point = points.emplace_back();
    point.params = reader.Number(params).value();
    point.compute = reader.Number(compute).value();
    point.loss = reader.Number(loss).value();
    point.line = static_cast<int>(reader.line());
    point.run = point.line;
  }
  FillByCompute(points);
  return points;
}

// Without the `count` highest losses.
inline Points WithoutHighest(Points points, size_t count) {
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return a.loss < b.loss; });
  points.resize(points.size() - count);
  return points;
}

}  // namespace longrun::scaling
