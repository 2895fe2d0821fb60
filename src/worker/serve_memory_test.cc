#include "worker/serve_memory.h"

#include <gtest/gtest.h>

#include "serving/grammar/constraint.h"
#include "worker/memory_available.h"

namespace longrun::worker {
namespace {

double Sum(const ProcessMemory& process) {
  double all = 0;
  for (const auto& part : PartsOf(process)) {
    EXPECT_GE(part.bytes, 0) << part.name;
    all += part.bytes;
  }
  return all;
}

TEST(ServeMemory, EachPartFollowsItsBound) {
  ProcessMemory few;
  few.program_bytes = 100'000'000;
  few.listen.handler_threads = 4;
  few.listen.connections = 100;
  few.text_bytes = 100'000;
  const double base = Sum(few);
  EXPECT_GT(base, 100e6 + static_cast<double>(few.listen.held_bytes +
                                              serving::ConstraintCompiler::kMostBytes));
  const auto more = [&](auto change) {
    ProcessMemory process = few;
    change(process);
    return Sum(process) - base;
  };
  EXPECT_EQ(more([](ProcessMemory& p) { p.program_bytes += 7; }), 7);
  EXPECT_EQ(more([](ProcessMemory& p) { p.listen.held_bytes += 1 << 20; }), 1 << 20);
  EXPECT_GT(more([](ProcessMemory& p) { p.listen.connections += 1000; }), 1000 * 16e3);
  EXPECT_GT(more([](ProcessMemory& p) {
              p.listen.connections += 1000;
              p.listen.certificate_file = "x";
            }),
            1000 * 50e3);
  EXPECT_GT(more([](ProcessMemory& p) { p.listen.body_bytes *= 2; }), 3 * 16e6);
  EXPECT_GT(more([](ProcessMemory& p) { p.limits.values *= 2; }), 3 * 16e6);
  EXPECT_GT(more([](ProcessMemory& p) { p.limits.tool_values *= 2; }), 3 * 5e6);
  EXPECT_GT(more([](ProcessMemory& p) { p.text_bytes += 1'000'000; }), 3 * 4e6);
  EXPECT_GT(more([](ProcessMemory& p) { p.engine.max_waiting *= 2; }), 20e6);
  EXPECT_GT(more([](ProcessMemory& p) { p.threads += 1; }), 1e6);
}

TEST(ServeMemory, AProcessKnowsWhatItHas) {
  const int64_t before = ResidentBytes();
  EXPECT_GT(before, 1 << 20);
  const std::string more(64 << 20, 'x');
  EXPECT_GE(ResidentBytes(), before + (60 << 20)) << more.size();
}

}  // namespace
}  // namespace longrun::worker
