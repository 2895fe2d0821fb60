#include "serving/openai/metrics_page.h"

#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "serving/engine/engine_accounts.h"
#include "serving/engine/sequence.h"

namespace longrun::serving {
namespace {

// One sample of the text format 0.0.4, its labels' escapes undone.
struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

struct Parsed {
  std::map<std::string, std::string> types;
  std::vector<Sample> samples;

  double Of(const std::string& name, const std::map<std::string, std::string>& more = {}) const {
    for (const Sample& sample : samples) {
      auto labels = more;
      labels["model_name"] = sample.labels.at("model_name");
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
    ADD_FAILURE() << "no " << name;
    return NAN;
  }
};

std::map<std::string, std::string> ParseLabels(const std::string& text) {
  std::map<std::string, std::string> labels;
  size_t at = 0;
  while (at < text.size()) {
    const size_t equals = text.find("=\"", at);
    const std::string key = text.substr(at, equals - at);
    EXPECT_TRUE(std::regex_match(key, std::regex("[a-zA-Z_][a-zA-Z0-9_]*"))) << key;
    std::string value;
    for (at = equals + 2; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\') ++at;
      value.push_back(text[at - 1] == '\\' && text[at] == 'n' ? '\n' : text[at]);
    }
    EXPECT_TRUE(labels.emplace(key, value).second) << key << " stands twice";
    ++at;
    if (at < text.size()) {
      EXPECT_EQ(text[at], ',');
      ++at;
    }
  }
  return labels;
}

// Checks what the format's definition asks: a HELP and a TYPE before a family's samples, which
// stand together, no sample twice.
Parsed Parse(const std::string& page) {
  Parsed parsed;
  std::string family;
  std::set<std::string> seen;
  EXPECT_TRUE(page.ends_with("\n"));
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    static const std::regex help("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
    static const std::regex type("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
    static const std::regex sample(R"(([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+))");
    if (std::regex_match(line, match, help)) {
      family = match[1];
      EXPECT_FALSE(parsed.types.contains(family)) << family << " stands twice";
    } else if (std::regex_match(line, match, type)) {
      EXPECT_EQ(match[1], family);
      parsed.types[family] = match[2];
    } else if (std::regex_match(line, match, sample)) {
      EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
      const std::string name = match[1];
      const std::string end = name.starts_with(family) ? name.substr(family.size()) : "?";
      const bool parts = parsed.types[family] == "histogram";
      EXPECT_TRUE(parts ? end == "_bucket" || end == "_sum" || end == "_count" : end.empty())
          << line;
      size_t used = 0;
      const std::string number = match[3] == "+Inf" ? "inf" : match[3].str();
      parsed.samples.push_back({name, ParseLabels(match[2]), std::stod(number, &used)});
      EXPECT_EQ(used, number.size()) << line;
    } else {
      ADD_FAILURE() << "no line of the format: " << line;
    }
  }
  return parsed;
}

TEST(MetricsPageTest, IsPrometheussTextWhateverTheNames) {
  MetricsInput input;
  input.model = "a\"b\\c\nd{e=\"f\"}";
  input.stats.tenants = {{.tenant = ""}, {.tenant = "x\"y"}, {.tenant = "back\\slash"}};
  input.stats.time_to_first_token.bounds = {0.1, 1};
  input.stats.time_to_first_token.Add(0.05);
  const Parsed parsed = Parse(MetricsPage(input));
  EXPECT_GT(parsed.samples.size(), 60u);
  std::set<std::string> tenants;
  for (const Sample& sample : parsed.samples) {
    EXPECT_EQ(sample.labels.at("model_name"), input.model);
    if (sample.labels.contains("tenant")) tenants.insert(sample.labels.at("tenant"));
  }
  EXPECT_EQ(tenants, (std::set<std::string>{"", "x\"y", "back\\slash"}));
}

TEST(MetricsPageTest, HasTheNamesThatRoutersRead) {
  MetricsInput input{.model = "m"};
  input.stats.running = 3;
  input.stats.waiting = 2;
  input.stats.blocks = 200;
  input.stats.blocks_used = 50;
  input.stats.block_tokens = 16;
  input.stats.finished_stop_total = 7;
  input.stats.rejected_total = 4;
  input.rate_limited_total = 5;
  const Parsed parsed = Parse(MetricsPage(input));
  EXPECT_EQ(parsed.Of("vllm:num_requests_running"), 3);
  EXPECT_EQ(parsed.Of("vllm:num_requests_waiting"), 2);
  EXPECT_EQ(parsed.Of("vllm:kv_cache_usage_perc"), 0.25);
  EXPECT_EQ(parsed.Of("vllm:gpu_cache_usage_perc"), 0.25);  // as older dashboards call it
  EXPECT_EQ(parsed.Of("vllm:cache_config_info", {{"block_size", "16"}, {"num_gpu_blocks", "200"}}),
            1);
  EXPECT_EQ(parsed.Of("vllm:request_success_total", {{"finished_reason", "stop"}}), 7);
  EXPECT_EQ(parsed.Of("longrun:requests_rejected_total", {{"reason", "queue_full"}}), 4);
  EXPECT_EQ(parsed.Of("longrun:requests_rejected_total", {{"reason", "rate_limit"}}), 5);
  for (const char* counter :
       {"vllm:prompt_tokens_total", "vllm:generation_tokens_total",
        "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total",
        "vllm:num_preemptions_total", "vllm:estimated_flops_per_gpu_total",
        "vllm:estimated_read_bytes_per_gpu_total", "vllm:estimated_write_bytes_per_gpu_total"})
    EXPECT_EQ(parsed.types.at(counter), "counter") << counter;
  for (const char* histogram :
       {"vllm:iteration_tokens_total", "vllm:time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds", "vllm:e2e_request_latency_seconds",
        "vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds",
        "vllm:request_decode_time_seconds", "vllm:time_per_output_token_seconds",
        "vllm:request_prompt_tokens", "vllm:request_generation_tokens"})
    EXPECT_EQ(parsed.types.at(histogram), "histogram") << histogram;
}

TEST(MetricsPageTest, LengthsAreThoseOfRequestsThatEnded) {
  EngineAccounts accounts({}, KvType::kF32);
  Progress request;
  request.submission.request.prompt = {1, 2, 3};
  accounts.Arrived(request);
  EXPECT_EQ(accounts.stats().prompt_length.count(), 0);
  request.usage.completion_tokens = 70;
  accounts.Ended(request, FinishReason::kLength, Time());
  const Parsed parsed = Parse(MetricsPage({.model = "m", .stats = accounts.stats()}));
  EXPECT_EQ(parsed.Of("vllm:request_prompt_tokens_bucket", {{"le", "2"}}), 0);
  EXPECT_EQ(parsed.Of("vllm:request_prompt_tokens_bucket", {{"le", "5"}}), 1);
  EXPECT_EQ(parsed.Of("vllm:request_generation_tokens_sum"), 70);
}

TEST(MetricsPageTest, BucketsCumulate) {
  MetricsInput input{.model = "m"};
  Histogram& times = input.stats.inter_token;
  times.bounds = {0.01, 0.1, 1};
  for (const double value : {0.005, 0.01, 0.05, 0.5, 2.0, 3.0}) times.Add(value);
  const Parsed parsed = Parse(MetricsPage(input));
  const std::string name = "vllm:inter_token_latency_seconds";
  EXPECT_EQ(parsed.Of(name + "_bucket", {{"le", "0.01"}}), 2);
  EXPECT_EQ(parsed.Of(name + "_bucket", {{"le", "0.1"}}), 3);
  EXPECT_EQ(parsed.Of(name + "_bucket", {{"le", "1"}}), 4);
  EXPECT_EQ(parsed.Of(name + "_bucket", {{"le", "+Inf"}}), 6);
  EXPECT_EQ(parsed.Of(name + "_count"), 6);
  EXPECT_DOUBLE_EQ(parsed.Of(name + "_sum"), 5.565);
}

TEST(MetricsPageTest, NumbersKeepTheirDigits) {
  // rate() of a counter is the difference of two that are large and close.
  MetricsInput input{.model = "m"};
  input.stats.step_seconds_total = 1234567.890625;
  input.stats.flops_total = 1.2345678901234567e19;
  input.stats.prompt_tokens_total = 9'007'199'254'740'991;
  const std::string page = MetricsPage(input);
  const Parsed parsed = Parse(page);
  EXPECT_EQ(parsed.Of("longrun:step_seconds_total"), 1234567.890625);
  EXPECT_EQ(parsed.Of("vllm:estimated_flops_per_gpu_total"), 1.2345678901234567e19);
  EXPECT_NE(page.find("vllm:prompt_tokens_total{model_name=\"m\"} 9007199254740991\n"),
            std::string::npos);
}

TEST(MetricsPageTest, TenantsAreNamedUpToABoundAndTheRestCountsTogether) {
  EngineAccounts accounts({}, KvType::kF32);
  for (int i = 0; i < 1000; ++i) {
    Progress request;
    request.submission.request.tenant = "tenant-" + std::to_string(i);
    accounts.Arrived(request);
  }
  const Parsed parsed = Parse(MetricsPage({.model = "m", .stats = accounts.stats()}));
  std::set<std::string> tenants;
  double requests = 0;
  for (const Sample& sample : parsed.samples) {
    if (sample.name != "longrun:tenant_requests_total") continue;
    EXPECT_TRUE(tenants.insert(sample.labels.at("tenant")).second);
    requests += sample.value;
  }
  EXPECT_EQ(tenants.size(), 65u);
  EXPECT_EQ(requests, 1000);
  EXPECT_EQ(parsed.Of("longrun:tenant_requests_total", {{"tenant", "other"}}), 1000 - 64);
  EXPECT_LT(parsed.samples.size(), 800u);
}

TEST(UtilisationTest, ComparesTwoMomentsWithTheCeilings) {
  EngineStats before, after;
  before.flops_total = 100;
  after.flops_total = 400;
  after.bytes_read_total = 20;
  after.bytes_written_total = 10;
  const Utilisation use =
      UtilisationBetween(before, after, 2, {.flops = 1000, .bytes_per_second = 30});
  EXPECT_DOUBLE_EQ(use.mfu, 0.15);
  EXPECT_DOUBLE_EQ(use.mbu, 0.5);
  EXPECT_DOUBLE_EQ(use.intensity, 10);
  for (const Utilisation& none :
       {UtilisationBetween(before, after, 0, {1, 1}), UtilisationBetween(before, before, 1, {})}) {
    EXPECT_EQ(none.mfu, 0);
    EXPECT_EQ(none.mbu, 0);
    EXPECT_EQ(none.intensity, 0);
  }
}

}  // namespace
}  // namespace longrun::serving
