// Runs a harness over files, without libFuzzer: what once broke stays whole, whatever the compiler.
//
//   NAME_corpus_test FOLDER

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  LR_CHECK_EQ(argc, 2);
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  LR_CHECK(!files.empty());
  for (const std::string& file : files) {
    fmt::print("{}\n", file);
    std::fflush(stdout);
    const auto content = longrun::ReadFile(file);
    LR_CHECK(content.ok());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(content->data()), content->size());
  }
}
