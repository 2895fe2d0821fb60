#include "scaling/fit/fit_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

FitRecord SomeRecord() {
  Random random(6);
  FitRecord record;
  for (int i = 0; i < 20; ++i) {
    Point& p = record.points.emplace_back();
    p.compute = 1e17 * std::pow(2, i);
    p.loss = (1.7 + 1600 * std::pow(p.compute, -.165)) * std::exp(0.004 * random.Normal());
    p.line = i + 2;
    p.run = i;
  }
  record.fit = FitLaw(PowerComputeLaw(), record.points, {}).value();
  BootstrapOptions options;
  options.resamples = 20;
  record.bootstrap = Resample(record.fit, record.points, options).value();
  record.dropped.push_back({record.points[3], "the highest loss"});
  record.source = {"runs.csv", "xxh128:00", 21, 0, {"--loss", "y"}};
  record.made = "2026-11-20T12:00:00.250Z";
  return record;
}

TEST(FitFileTest, WhatIsWrittenIsReadBackToTheLastBit) {
  const FitRecord record = SomeRecord();
  const std::string text = WriteFitFile(record);
  const FitRecord back = ReadFitFile(text, "fit.json").value();
  EXPECT_EQ(back.fit.law, record.fit.law);
  EXPECT_EQ(back.fit.parameters, record.fit.parameters);
  EXPECT_EQ(back.fit.residuals, record.fit.residuals);
  EXPECT_EQ(back.fit.trusted(), record.fit.trusted());
  EXPECT_EQ(back.bootstrap.parameters, record.bootstrap.parameters);
  EXPECT_EQ(back.points[7].loss, record.points[7].loss);
  EXPECT_TRUE(std::isnan(back.points[7].params));
  EXPECT_EQ(back.source.options, record.source.options);
  // And all that was not named here.
  EXPECT_EQ(WriteFitFile(back), text);
}

TEST(FitFileTest, ARefusedFitStaysRefused) {
  FitRecord record = SomeRecord();
  record.fit.refusals.push_back({"too few", "more"});
  const FitRecord back = ReadFitFile(WriteFitFile(record), "fit.json").value();
  EXPECT_FALSE(back.fit.trusted());
  EXPECT_EQ(back.fit.refusals[0].measure_next, "more");
}

TEST(FitFileTest, WhatIsNoFitIsRefused) {
  const std::string text = WriteFitFile(SomeRecord());
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string copy = text;
    copy.replace(copy.find(from), from.size(), to);
    return std::string(ReadFitFile(copy, "fit.json").status().message());
  };
  EXPECT_THAT(std::string(ReadFitFile("{}", "fit.json").status().message()),
              HasSubstr("fit.json: this is no fit"));
  EXPECT_THAT(std::string(ReadFitFile(text.substr(0, 300), "x").status().message()),
              HasSubstr("this is no fit"));
  EXPECT_THAT(changed("\"version\":1", "\"version\":2"), HasSubstr("version 2"));
  EXPECT_THAT(changed("\"law\":\"power-compute\"", "\"law\":\"x\""), HasSubstr("no law \"x\""));
  EXPECT_THAT(changed("\"residual_sd\":", "\"residual_dd\":"),
              HasSubstr("\"residual_sd\" is missing"));
  EXPECT_THAT(changed("\"residuals\":[", "\"residuals\":[1.0,"),
              HasSubstr("21 numbers; 20 are right"));
  EXPECT_THAT(changed("\"b\":", "\"beta\":"), HasSubstr("\"b\" is missing"));
  EXPECT_THAT(changed("\"points\":[[", "\"points\":[[\"x\","), HasSubstr("a point is no list"));
}

}  // namespace
}  // namespace longrun::scaling
