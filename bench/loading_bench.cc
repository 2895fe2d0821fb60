// How long a model's weights take to be ready for the kernels, beside reading their files as `cat`
// does: from a cold disk and from the page cache.
//
//   loading_bench FOLDER [f32|bf16|int8]
//
// Medians of seven rounds after one that is not counted, in one process: memory that a virtual
// machine has not used for seconds comes from its host at the first touch, at a fifth of the speed.
// FOLDER: a GPT-2 or Llama folder; bench/random_gpt2.py writes one of 124M with random weights.

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/time.h"
#include "serving/execute/cpu_executor.h"

namespace longrun::serving {
namespace {

constexpr int kRounds = 7;

// Written to the disk, and out of the page cache.
void Forget(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY);
  ::fdatasync(file);
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  ::close(file);
}

void Read(const std::string& path) {
  std::vector<char> block(128 << 10);  // as cat's
  const int file = ::open(path.c_str(), O_RDONLY);
  while (::read(file, block.data(), block.size()) > 0) {
  }
  ::close(file);
}

absl::Status Main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    return absl::InvalidArgumentError(
        "loading_bench FOLDER [f32|bf16|int8]: which model? bench/random_gpt2.py FOLDER writes "
        "one");
  }
  const std::string folder = argv[1], type = argc == 3 ? argv[2] : "f32";
  CpuOptions options;
  options.weights = type == "f32"    ? CpuWeightType::kF32
                    : type == "bf16" ? CpuWeightType::kBF16
                                     : CpuWeightType::kInt8;
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".safetensors") paths.push_back(entry.path());
  }
  if (paths.empty()) return absl::NotFoundError(folder + " has no .safetensors");
  std::vector<double> reads, cold, warm;
  for (int round = 0; round <= kRounds; ++round) {
    for (const auto& path : paths) Forget(path);
    const Stopwatch reading;
    for (const auto& path : paths) Read(path);
    reads.push_back(reading.seconds());
    for (const auto& path : paths) Forget(path);
    for (std::vector<double>* seconds : {&cold, &warm}) {
      const Stopwatch loading;
      LR_RETURN_IF_ERROR(OpenCpuExecutor(folder, options).status());
      seconds->push_back(loading.seconds());
    }
  }
  const auto report = [](const char* what, std::vector<double> seconds) {
    seconds.erase(seconds.begin());
    std::sort(seconds.begin(), seconds.end());
    fmt::print("{:<28} {:.3f} s ({:.3f} to {:.3f})\n", what, seconds[kRounds / 2], seconds.front(),
               seconds.back());
  };
  report("read from a cold disk", reads);
  report("loaded from a cold disk", cold);
  report("loaded from the page cache", warm);
  return absl::OkStatus();
}

}  // namespace
}  // namespace longrun::serving

int main(int argc, char** argv) {
  const absl::Status status = longrun::serving::Main(argc, argv);
  if (!status.ok()) fmt::print(stderr, "{}\n", std::string(status.message()));
  return status.ok() ? 0 : 1;
}
