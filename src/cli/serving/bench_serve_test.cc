#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cli/serving/bench_answer.h"
#include "cli/serving/bench_driver.h"
#include "cli/serving/bench_load.h"
#include "cli/serving/bench_report.h"
#include "net/http_server.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(BenchLoad, LengthsFollowTheirDistribution) {
  Random random(3);
  EXPECT_EQ(ParseLengthDistribution("256")->Sample(random), 256);
  const auto uniform = ParseLengthDistribution("uniform:10:20");
  const auto lognormal = ParseLengthDistribution("lognormal:100:0.5");
  ASSERT_TRUE(uniform.ok() && lognormal.ok());
  double sum = 0, below = 0;
  int64_t least = 1000, most = 0;
  for (int i = 0; i < 20'000; ++i) {
    const int64_t n = uniform->Sample(random);
    least = std::min(least, n);
    most = std::max(most, n);
    sum += static_cast<double>(n);
    below += lognormal->Sample(random) <= 100;
  }
  EXPECT_EQ(least, 10);
  EXPECT_EQ(most, 20);
  EXPECT_NEAR(sum / 20'000, 15, 0.1);
  EXPECT_NEAR(below / 20'000, 0.5, 0.03);
  for (const char* bad : {"", "0", "-1", "x", "uniform:20:10", "uniform:1", "lognormal:0:1",
                          "lognormal:10:-1", "lognormal:10:x", "normal:1:2", "1e9"}) {
    EXPECT_FALSE(ParseLengthDistribution(bad).ok()) << bad;
  }
}

TEST(BenchLoad, ArrivalsArePoisson) {
  const std::vector<double> arrivals = PoissonArrivals(50'000, 20, 1);
  EXPECT_NEAR(arrivals.back(), 2500, 50);
  double square = 0;
  for (size_t i = 1; i < arrivals.size(); ++i) {
    square += std::pow(arrivals[i] - arrivals[i - 1], 2) / 50'000;
  }
  EXPECT_NEAR(square, 2.0 / 400, 0.0002);  // the second moment of an exponential
}

TEST(BenchLoad, RequestsShareTheirPrefixAndAreTheSameForASeed) {
  LoadConfig config;
  config.vocabulary = 1000;
  config.shared_prefix_tokens = 50;
  config.prefixes = 2;
  config.prompt_tokens = *ParseLengthDistribution("10");
  const auto prompt = [&](int64_t i) {
    return nlohmann::json::parse(RequestBody(config, i))["prompt"].get<std::vector<int>>();
  };
  std::set<std::vector<int>> prefixes, prompts;
  for (int64_t i = 0; i < 40; ++i) {
    const std::vector<int> tokens = prompt(i);
    ASSERT_EQ(tokens.size(), 60u);
    EXPECT_EQ(prompt(i), tokens);
    prefixes.emplace(tokens.begin(), tokens.begin() + 50);
    prompts.insert(tokens);
  }
  EXPECT_EQ(prefixes.size(), 2u);
  EXPECT_EQ(prompts.size(), 40u);
  config.vocabulary = 0;
  config.chat = true;
  const auto body = nlohmann::json::parse(RequestBody(config, 0));
  const std::string words = body["messages"][0]["content"];
  EXPECT_EQ(std::count(words.begin(), words.end(), ' '), 59);
  EXPECT_TRUE(body["stream_options"]["include_usage"].get<bool>());
  EXPECT_FALSE(body.contains("temperature"));
  config.temperature = 0.5;
  EXPECT_EQ(nlohmann::json::parse(RequestBody(config, 0))["temperature"], 0.5);
}

TEST(BenchLoad, SloIsReadStrictly) {
  const auto slo = ParseSlo("ttft=0.5s,itl=50ms");
  ASSERT_TRUE(slo.ok());
  EXPECT_DOUBLE_EQ(slo->ttft_seconds, 0.5);
  EXPECT_DOUBLE_EQ(slo->itl_seconds, 0.05);
  EXPECT_TRUE(std::isinf(slo->e2e_seconds));
  for (const char* bad : {"", "ttft", "ttft=1", "ttft=1s,ttft=2s", "x=1s", "itl=-1ms", "itl=0s"}) {
    EXPECT_FALSE(ParseSlo(bad).ok()) << bad;
  }
}

TEST(BenchReport, CountsWhatWasMeasured) {
  std::vector<RequestOutcome> outcomes(4);
  for (int i = 0; i < 3; ++i) {
    outcomes[i].planned = 1;
    outcomes[i].first = 1.1 * (i + 1);
    outcomes[i].end = outcomes[i].first + 1;
    outcomes[i].prompt_tokens = 10;
    outcomes[i].output_tokens = 11;
    outcomes[i].counted_by_server = true;
  }
  outcomes[3].error = "HTTP 429";
  outcomes[3].detail = "too many";
  Slo slo;
  slo.ttft_seconds = 1.5;
  slo.itl_seconds = 0.1001;
  const LoadReport report = ReportOf(outcomes, 10, slo);
  EXPECT_EQ(report.requests, 3);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.good, 2);
  EXPECT_EQ(report.output_tokens, 33);
  EXPECT_NEAR(report.itl.p50, 0.1, 1e-12);
  EXPECT_NEAR(report.ttft.p50, 1.2, 1e-12);
  EXPECT_THAT(ReportText(report), HasSubstr("HTTP 429: too many"));
  const auto json = nlohmann::json::parse(ReportJson(report));
  EXPECT_DOUBLE_EQ(json["output_tokens_per_second"], 3.3);
  EXPECT_EQ(json["within_slo"], 2);
  EXPECT_EQ(json["error_examples"]["HTTP 429"], "too many");
  const Quantiles q = QuantilesOf({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(q.p50, 2.5);
  EXPECT_DOUBLE_EQ(q.most, 4);
  EXPECT_THAT(ReportText(report), HasSubstr("time to first token"));
  EXPECT_THAT(ReportText(ReportOf({}, 0, Slo())), Not(HasSubstr("time to first token")));
}

RequestOutcome Answered(const std::string& body, int status = 200) {
  StreamedAnswer answer;
  answer.Feed(body, 5);
  RequestOutcome outcome;
  outcome.end = 6;
  answer.Finish(status, outcome);
  return outcome;
}

TEST(BenchAnswer, ReadsChunksUsageAndErrors) {
  const RequestOutcome well = Answered(
      "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
      "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null,\"error\":null}\n\n"
      "data: {\"choices\":[{\"text\":\"b\"}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
      "data: [DONE]\n\n");
  EXPECT_EQ(well.error, "");
  EXPECT_EQ(well.prompt_tokens, 7);
  EXPECT_EQ(well.output_tokens, 3);
  EXPECT_EQ(well.gaps.size(), 1u);
  EXPECT_EQ(well.first, 5);
  EXPECT_EQ(Answered("{\"error\":{\"message\":\"no room\"}}", 429).detail, "no room");
  EXPECT_EQ(Answered("<html>", 502).error, "HTTP 502");
  EXPECT_EQ(Answered("data: {\"error\":{\"message\":\"lost\"}}\n\ndata: [DONE]\n\n").detail,
            "lost");
  EXPECT_EQ(Answered("data: {}\n\n").error, "stream without [DONE]");
  EXPECT_EQ(Answered("data: nonsense\n\n").error, "error within the stream");
  EXPECT_EQ(Answered("data: {\"usage\":{\"prompt_tokens\":\"x\"},\"choices\":[3]}\n\n"
                     "data: [DONE]\n\n")
                .error,
            "");
}

TEST(BenchDriver, AsksEachRequestOnce) {
  std::atomic<int> asked{0};
  const auto server =
      net::Server::Start({}, [&](net::Request request, std::shared_ptr<net::Responder> responder) {
        const int n = ++asked;
        if (n % 5 == 0) return responder->Send({.status = 503, .body = "{\"error\":\"busy\"}"});
        responder->Begin({.content_type = "text/event-stream"});
        responder->Write("data: {\"choices\":[{\"text\":\"a\"}]}\n\n");
        responder->Write(
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,"
            "\"completion_tokens\":1}}\n\ndata: [DONE]\n\n");
        responder->End();
      });
  ASSERT_TRUE(server.ok());
  DriverConfig config;
  config.url = *net::ParseUrl("127.0.0.1:" + std::to_string((*server)->port()));
  config.clients = 300;
  config.requests = 1000;
  config.arrivals = PoissonArrivals(1000, 5000, 0);
  Driver driver(std::move(config));
  while (!driver.over()) std::this_thread::yield();
  const LoadReport report = ReportOf(driver.Outcomes(), driver.seconds(), Slo());
  EXPECT_EQ(asked, 1000);
  EXPECT_EQ(report.requests, 800);
  EXPECT_EQ(report.errors.at("HTTP 503"), 200);
  EXPECT_EQ(report.an_example.at("HTTP 503"), "busy");
  EXPECT_EQ(report.input_tokens, 3200);
  EXPECT_TRUE(report.counted_by_server);
}

TEST(BenchDriver, AClientWhoseRequestFailedDoesNotAskAgainAtOnce) {
  const auto server =
      net::Server::Start({}, [](net::Request, std::shared_ptr<net::Responder> responder) {
        responder->Send({.status = 503, .body = "{\"error\":\"busy\"}"});
      });
  ASSERT_TRUE(server.ok());
  DriverConfig config;
  config.url = *net::ParseUrl("127.0.0.1:" + std::to_string((*server)->port()));
  config.requests = 4;
  Driver driver(std::move(config));
  while (!driver.over()) std::this_thread::yield();
  const std::vector<RequestOutcome> outcomes = driver.Outcomes();
  ASSERT_EQ(outcomes.size(), 4u);
  for (size_t i = 1; i < outcomes.size(); ++i) {
    EXPECT_EQ(outcomes[i].error, "HTTP 503");
    EXPECT_GE(outcomes[i].planned, outcomes[i - 1].end + Driver::kAgainSeconds) << i;
  }
}

}  // namespace
}  // namespace longrun::cli
