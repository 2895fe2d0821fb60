#include "scaling/forecast/registration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scaling/forecast/calibration.h"
#include "scaling/runs/synthetic_runs_for_tests.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

Registration Some() {
  Registration registration;
  registration.registered = "2026-01-02T03:04:05.000Z";
  registration.fit_made = "2026-01-02T03:00:00.000Z";
  registration.source = {"runs.csv", "xxh128:0123", 42, 0, {"--loss=loss"}};
  registration.forecast =
      MakeForecast(ChinchillaLaw(), KnownLadder(0.004, 1), {.resamples = 50}).value();
  registration.prediction = Predict(registration.forecast, KnownRun(1e23, 20, 0)).value();
  registration.shape = CurveShape{{{0.5, 0.03, 0.002}, {1, 0, 0.001}}, 4};
  return registration;
}

TEST(RegistrationTest, WhatIsReadBackPredictsTheSame) {
  const Registration written = Some();
  const std::string text = WriteRegistration(written);
  const Registration read = ReadRegistration(text, "p.json").value();
  EXPECT_EQ(WriteRegistration(read), text);
  EXPECT_EQ(read.source.hash, "xxh128:0123");
  EXPECT_EQ(read.registered, written.registered);
  const LossPrediction again = Predict(read.forecast, written.prediction.point).value();
  EXPECT_EQ(again.loss, written.prediction.loss);
  for (size_t i = 0; i < again.ranges.size(); ++i) {
    EXPECT_NEAR(again.ranges[i].lo, written.prediction.ranges[i].lo, 1e-12);
    EXPECT_EQ(read.prediction.ranges[i].hi, written.prediction.ranges[i].hi);
  }
  EXPECT_EQ(read.prediction.spread.total(), written.prediction.spread.total());
  EXPECT_EQ(read.shape->At(0.75).gap, 0.015);
}

TEST(RegistrationTest, WhatIsNoRegistrationIsRefused) {
  const auto message = [](const std::string& text) {
    return std::string(ReadRegistration(text, "p.json").status().message());
  };
  const std::string text = WriteRegistration(Some());
  EXPECT_THAT(message(""), HasSubstr("p.json: this is no registered prediction"));
  EXPECT_THAT(message("{\"what\": \"longrun fit\"}"), HasSubstr("no registered prediction"));
  const auto changed = [&text](const std::string& from, const std::string& to) {
    std::string other = text;
    const size_t at = other.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return other.replace(at, from.size(), to);
  };
  EXPECT_THAT(message(changed("\"version\":1", "\"version\":9")), HasSubstr("another version"));
  EXPECT_THAT(message(changed("\"noise\"", "\"nose\"")), HasSubstr("noise"));
  EXPECT_THAT(message(changed("\"chinchilla\"", "\"cinchilla\"")), HasSubstr("no law"));
  EXPECT_THAT(message(changed("\"chinchilla\"", "\"power-compute\"")), HasSubstr("edited"));
  for (size_t cut = 1; cut < text.size(); cut += text.size() / 50) {
    EXPECT_FALSE(ReadRegistration(text.substr(0, cut), "p.json").ok());
  }
}

}  // namespace
}  // namespace longrun::scaling
