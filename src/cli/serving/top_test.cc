#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cli/serving/metrics_page.h"
#include "cli/serving/serving_figures.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

using testing::HasSubstr;

MetricsPage Page(const std::string& text) {
  const absl::StatusOr<MetricsPage> page = MetricsPage::Parse(text);
  EXPECT_TRUE(page.ok()) << page.status();
  return *page;
}

TEST(MetricsPage, IsReadStrictly) {
  const MetricsPage page = Page(
      "# HELP a what it is\n# TYPE a gauge\na 1.5\nb{x=\"1\",y=\"q\\\"\\n\\\\\",} 2 1700000000\r\n"
      "b{ x = \"2\" } 4e1\n\nc_bucket{le=\"+Inf\"} +Inf\nd NaN");
  EXPECT_EQ(page.Sum("a"), 1.5);
  EXPECT_EQ(page.Sum("b"), 42);
  EXPECT_EQ(page.Mean("b"), 21);
  EXPECT_EQ(page.Samples("b")[0].labels.at("y"), "q\"\n\\");
  EXPECT_TRUE(std::isinf(page.Sum("c_bucket")));
  EXPECT_TRUE(std::isnan(page.Sum("d")));
  EXPECT_FALSE(page.Has("e"));
  for (const char* bad :
       {"a", "a x", "{} 1", "a{x} 1", "a{x=1} 1", "a{x=\"1} 1", "a{x=\"1\" 1", "<html>"}) {
    EXPECT_FALSE(MetricsPage::Parse(bad).ok()) << bad;
  }
  EXPECT_THAT(std::string(MetricsPage::Parse("a 1\nb\n").status().message()), HasSubstr("line 2"));
}

TEST(MetricsPage, QuantilesAreOfTheTimeBetween) {
  const auto histogram = [](int first, int second, int all) {
    return Page("h_bucket{le=\"0.1\"} " + std::to_string(first) + "\nh_bucket{le=\"0.2\"} " +
                std::to_string(second) + "\nh_bucket{le=\"+Inf\"} " + std::to_string(all) + "\n");
  };
  const MetricsPage before = histogram(100, 100, 100);
  const MetricsPage after = histogram(110, 120, 120);
  EXPECT_NEAR(HistogramQuantile(&before, after, "h", 0.5), 0.1, 1e-12);
  EXPECT_NEAR(HistogramQuantile(&before, after, "h", 0.75), 0.15, 1e-12);
  EXPECT_NEAR(HistogramQuantile(nullptr, after, "h", 0.5), 0.1 * 60 / 110, 1e-12);
  EXPECT_EQ(HistogramQuantile(&after, after, "h", 0.5), -1);
  EXPECT_EQ(HistogramQuantile(nullptr, after, "none", 0.5), -1);
  // Beyond the last bound nothing more is known than that.
  const MetricsPage beyond = histogram(0, 0, 10);
  EXPECT_NEAR(HistogramQuantile(nullptr, beyond, "h", 0.5), 0.2, 1e-12);
}

TEST(ServingFigures, AreThoseOfTheTimeBetween) {
  const auto page = [](double scale, const std::string& rest) {
    const std::string n = std::to_string(scale);
    return Page(
        "vllm:num_requests_running{model_name=\"m\"} 4\nvllm:num_requests_waiting 2\n"
        "vllm:kv_cache_usage_perc 0.25\n"
        "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\"} 1\n"
        "vllm:generation_tokens_total " +
        n + "\nvllm:iteration_tokens_total_sum " + n + "\nvllm:iteration_tokens_total_count " +
        std::to_string(scale / 10) + "\nvllm:estimated_flops_per_gpu_total " + n +
        "\nvllm:estimated_read_bytes_per_gpu_total " + std::to_string(scale / 4) +
        "\nvllm:estimated_write_bytes_per_gpu_total " + std::to_string(scale / 4) +
        "\nlongrun:peak_flops 200\nlongrun:peak_bytes_per_second 80\n"
        "longrun:tenant_generation_tokens_total{tenant=\"a\"} " +
        n + "\n" + rest);
  };
  const MetricsPage before = page(100, "");
  const MetricsPage after = page(300, "longrun:tenant_requests_running{tenant=\"b\"} 3\n");
  const ServingFigures f = FiguresBetween(&before, after, 2);
  EXPECT_EQ(f.model, "m");
  EXPECT_EQ(f.kv_tokens, 1600);
  EXPECT_DOUBLE_EQ(f.output_per_second, 100);
  EXPECT_DOUBLE_EQ(f.tokens_per_step, 10);
  EXPECT_DOUBLE_EQ(f.mfu, 0.5);
  EXPECT_DOUBLE_EQ(f.mbu, 0.625);
  EXPECT_DOUBLE_EQ(f.intensity, 2);
  ASSERT_EQ(f.tenants.size(), 2u);
  EXPECT_EQ(f.tenants[0].name, "a");
  EXPECT_DOUBLE_EQ(f.tenants[0].output_per_second, 100);
  EXPECT_EQ(f.tenants[1].running, 3);
  // A server that was begun anew counts from 0.
  EXPECT_DOUBLE_EQ(FiguresBetween(&after, before, 2).output_per_second, 50);
}

Binding BindingOf(const ServingFigures& f) { return Judge(f).binding; }

TEST(Judge, NamesWhatBinds) {
  ServingFigures f;
  EXPECT_EQ(BindingOf(f), Binding::kIdle);
  f.running = 8;
  f.output_per_second = 100;
  EXPECT_EQ(BindingOf(f), Binding::kNothing);
  f.mfu = 0.2;
  f.mbu = 0.8;
  EXPECT_EQ(BindingOf(f), Binding::kMemoryBandwidth);
  f.mfu = 0.9;
  EXPECT_EQ(BindingOf(f), Binding::kCompute);
  f.overhead = 0.5;
  EXPECT_EQ(BindingOf(f), Binding::kHost);
  // A full cache with nobody waiting binds nobody.
  f.kv_used = 0.97;
  EXPECT_EQ(BindingOf(f), Binding::kHost);
  f.waiting = 3;
  EXPECT_EQ(BindingOf(f), Binding::kMemoryCapacity);
  f.kv_used = 0.3;
  f.overhead = 0.01;
  f.mfu = f.mbu = 0.1;
  EXPECT_EQ(BindingOf(f), Binding::kQueue);
  // Until the step under way has ended everybody waits.
  f.steps_per_second = 100;
  f.queue_p50 = 0.02;
  EXPECT_EQ(BindingOf(f), Binding::kNothing);
  f.queue_p50 = 0.05;
  EXPECT_EQ(BindingOf(f), Binding::kQueue);
  f.preemptions = 1;
  EXPECT_EQ(BindingOf(f), Binding::kMemoryCapacity);
  f.stalled = 60;
  EXPECT_EQ(BindingOf(f), Binding::kStalled);
}

TEST(ServingPanel, FitsItsWidthAndTellsTheSameAsItsJson) {
  ServingFigures f;
  f.model = "evil\x1b[2J";
  f.running = 3;
  f.output_per_second = 1234;
  f.mfu = 0.1;
  f.mbu = 0.9;
  f.kv_used = 0.5;
  f.tenants.push_back({"team", 1, 0, 10});
  for (const size_t width : {20u, 60u, 120u}) {
    for (const std::string& line : ServingPanel(f, width, false)) {
      size_t columns = 0;
      for (const char c : line) columns += (c & 0xC0) != 0x80;
      EXPECT_LE(columns, width);
      EXPECT_EQ(line.find('\x1b'), std::string::npos);
    }
  }
  std::string all;
  for (const std::string& line : ServingPanel(f, 200, true)) all += line + "\n";
  EXPECT_THAT(all, HasSubstr("binds now  memory bandwidth: MBU 90%"));
  EXPECT_THAT(all, HasSubstr("out 1,234"));
  // What would help goes on in the next line where it is long.
  std::string narrow;
  for (const std::string& line : ServingPanel(f, 60, false)) narrow += line + "\n";
  EXPECT_THAT(narrow, HasSubstr("would help more sequences at once cost next to nothing; else\n"
                                "           int8 weights"));
  EXPECT_THAT(narrow, HasSubstr("MBU 90%, MFU 10%"));
  EXPECT_THAT(narrow, HasSubstr("\n           put back 0   refused 0\n"));
  EXPECT_THAT(narrow, HasSubstr("queue –\n"));
  const auto json = nlohmann::json::parse(ServingJson(f));
  EXPECT_EQ(json["binds"], "memory bandwidth");
  EXPECT_TRUE(json["ttft_p50_seconds"].is_null());
  EXPECT_EQ(json["tenants"][0]["tenant"], "team");
}

}  // namespace
}  // namespace longrun::cli
