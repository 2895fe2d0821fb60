#include "serving/engine/request_rules.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serving/engine/retry_after.h"

namespace longrun::serving {
namespace {

using testing::HasSubstr;

class RequestRulesTest : public testing::Test {
 protected:
  RequestRulesTest() {
    config_.blocks = 10;
    config_.block_tokens = 4;
    shape_.context = 64;
  }
  std::string Complaint(const std::function<void(GenerationRequest*)>& change) {
    GenerationRequest request;
    request.id = "a";
    request.prompt = {1, 2, 3};
    change(&request);
    return std::string(CheckRequest(request, config_, shape_, 100).message());
  }
  EngineConfig config_;
  ModelShape shape_;
};

TEST_F(RequestRulesTest, TellsWhatIsWrong) {
  EXPECT_EQ(Complaint([](auto* r) {}), "");
  EXPECT_THAT(Complaint([](auto* r) { r->prompt = {}; }), HasSubstr("empty"));
  EXPECT_THAT(Complaint([](auto* r) { r->max_tokens = 62; }), HasSubstr("longest context is 64"));
  EXPECT_THAT(Complaint([](auto* r) { r->max_tokens = INT64_MAX; }), HasSubstr("64 tokens"));
  EXPECT_THAT(Complaint([](auto* r) { r->max_tokens = 40; }), HasSubstr("room for 40 tokens"));
  EXPECT_THAT(Complaint([](auto* r) { r->max_tokens = 0; }), HasSubstr("max_tokens is 0"));
  EXPECT_THAT(Complaint([](auto* r) { r->choices = 1'000'000; }), HasSubstr("n is 1000000"));
  EXPECT_THAT(Complaint([](auto* r) { r->prompt = {100}; }), HasSubstr("vocabulary of 100"));
  EXPECT_THAT(Complaint([](auto* r) { r->prompt = {-1}; }), HasSubstr("token -1"));
  EXPECT_NE(Complaint([](auto* r) { r->sampling.top_p = 7; }), "");
}

TEST_F(RequestRulesTest, AnEngineThatCannotGoForwardIsRefused) {
  EXPECT_TRUE(config_.Validate().ok());
  config_.max_step_logits = config_.max_sequences;
  EXPECT_FALSE(config_.Validate().ok());
}

TEST(RetryAfter, TravelsWithTheStatus) {
  EXPECT_EQ(RetryAfterSeconds(RetryAfter(absl::ResourceExhaustedError("busy"), 7)), 7);
  EXPECT_EQ(RetryAfterSeconds(absl::ResourceExhaustedError("busy")), 1);
}

TEST(Histogram, CountsInItsBuckets) {
  Histogram h;
  h.bounds = {1, 2};
  for (const double value : {0.5, 1.0, 1.5, 9.0}) h.Add(value);
  EXPECT_EQ(h.counts, (std::vector<int64_t>{2, 1, 1}));
  EXPECT_EQ(h.count(), 4);
  EXPECT_EQ(h.sum, 12);
}

}  // namespace
}  // namespace longrun::serving
