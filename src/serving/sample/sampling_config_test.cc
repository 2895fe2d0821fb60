#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "serving/request.h"

namespace longrun::serving {
namespace {

TEST(SamplingConfig, WhatCannotBeIsRefusedByItsName) {
  EXPECT_TRUE(SamplingConfig{}.Validate(10).ok());
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<std::string, std::function<void(SamplingConfig&)>>> cases = {
      {"logit_bias",
       [](auto& c) {
         c.logit_bias = {{10, 1.0f}};
       }},
      {"logit_bias",
       [](auto& c) {
         c.logit_bias = {{-1, 1.0f}};
       }},
      {"logit_bias",
       [](auto& c) {
         c.logit_bias = {{1, 100.5f}};
       }},
      {"logit_bias",
       [&](auto& c) {
         c.logit_bias = {{1, static_cast<float>(nan)}};
       }},
      {"frequency_penalty", [](auto& c) { c.frequency_penalty = 2.1; }},
      {"frequency_penalty", [&](auto& c) { c.frequency_penalty = nan; }},
      {"presence_penalty", [](auto& c) { c.presence_penalty = -2.1; }},
      {"repetition_penalty", [](auto& c) { c.repetition_penalty = 0; }},
      {"repetition_penalty", [&](auto& c) { c.repetition_penalty = infinity; }},
      {"temperature", [](auto& c) { c.temperature = -0.1; }},
      {"temperature", [&](auto& c) { c.temperature = infinity; }},
      {"temperature", [&](auto& c) { c.temperature = nan; }},
      {"top_k", [](auto& c) { c.top_k = -1; }},
      {"top_p", [](auto& c) { c.top_p = 0; }},
      {"top_p", [](auto& c) { c.top_p = 1.01; }},
      {"top_p", [&](auto& c) { c.top_p = nan; }},
      {"min_p", [](auto& c) { c.min_p = -0.01; }},
      {"min_p", [](auto& c) { c.min_p = 1.01; }},
      {"top_logprobs", [](auto& c) { c.top_logprobs = 21; }},
      {"top_logprobs", [](auto& c) { c.top_logprobs = -2; }},
  };
  for (const auto& [name, spoil] : cases) {
    SamplingConfig config;
    spoil(config);
    const absl::Status status = config.Validate(10);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(std::string(status.message()).substr(0, name.size() + 1), name + ":");
  }
}

TEST(SamplingConfig, TheBordersAreAllowed) {
  SamplingConfig config;
  config.logit_bias = {{0, -100.0f}, {9, 100.0f}};
  config.frequency_penalty = -2;
  config.presence_penalty = 2;
  config.temperature = 0;
  config.top_k = 1'000'000;
  config.min_p = 1;
  config.top_logprobs = 20;
  EXPECT_TRUE(config.Validate(10).ok());
}

}  // namespace
}  // namespace longrun::serving
