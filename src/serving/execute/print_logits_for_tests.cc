// Writes the logits of all tokens [tokens, vocab] to standard output as raw f32, for a test in
// Python to compare.
//
//   serving_print_logits FOLDER f32|bf16|int8 TOKEN…

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "serving/execute/cpu_executor.h"

int main(int argc, char** argv) {
  using namespace longrun::serving;
  if (argc < 4) return 2;
  const std::string type = argv[2];
  const CpuOptions options = {.weights = type == "f32"    ? CpuWeightType::kF32
                                         : type == "bf16" ? CpuWeightType::kBF16
                                                          : CpuWeightType::kInt8};
  std::vector<longrun::model::TokenId> tokens;
  for (int i = 3; i < argc; ++i) tokens.push_back(std::atoi(argv[i]));
  const auto executor = OpenCpuExecutor(argv[1], options);
  if (!executor.ok()) {
    std::fprintf(stderr, "%s\n", executor.status().ToString().c_str());
    return 1;
  }
  const auto n = static_cast<BlockId>(tokens.size() / 16 + 1);
  std::vector<BlockId> blocks;
  for (BlockId i = 0; i < n; ++i) blocks.push_back(n - 1 - i);
  if (!(*executor)->AllocateCache(n, 16, KvType::kF32).ok()) return 1;
  const auto output = (*executor)->Run(
      {.slices = {
           {.tokens = tokens, .blocks = blocks, .logits = static_cast<int64_t>(tokens.size())}}});
  if (!output.ok()) return 1;
  std::fwrite(output->logits.data(), sizeof(float), output->logits.size(), stdout);
  return 0;
}
