#include "worker/serve_device.h"

#include "absl/strings/str_cat.h"
#include "serving/execute/cpu_executor.h"
#include "serving/execute_torch/torch_executor.h"
#include "worker/memory_available.h"

namespace longrun::worker {
namespace {

using namespace serving;  // NOLINT: this file chooses among its parts

constexpr char kOwn[] = "cpu";

// As libtorch calls it.
std::string TorchName(const std::string& name) { return name == "torch:cpu" ? "cpu" : name; }

absl::StatusOr<CpuWeightType> CpuTypeOf(const std::string& text) {
  if (text == "auto") return CpuWeightType::kAuto;
  if (text == "f32") return CpuWeightType::kF32;
  if (text == "bf16") return CpuWeightType::kBF16;
  if (text == "int8") return CpuWeightType::kInt8;
  return absl::InvalidArgumentError(absl::StrCat(
      "weights: ", text, " is for CUDA devices; auto, f32, bf16 and int8 are right here"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> ServeDevice::Open(const std::string& model_dir,
                                                            const std::string& weights) const {
  if (name == kOwn) {
    LR_ASSIGN_OR_RETURN(const CpuWeightType type, CpuTypeOf(weights));
    return OpenCpuExecutor(model_dir, {.weights = type, .threads = threads, .context = context});
  }
  return OpenTorchExecutor(
      model_dir,
      {.device = TorchName(name), .weights = weights, .threads = threads, .context = context});
}

bool ServeDevice::has_own_memory() const { return HasOwnMemory(name); }

int ServeDevice::ThreadCount() const { return threads > 0 ? threads : UsableCpus(); }

absl::StatusOr<int64_t> ServeDevice::MemoryLeft() const {
  if (has_own_memory()) {
    auto free = FreeDeviceBytes(name);
    if (absl::IsUnimplemented(free.status())) {
      return absl::UnimplementedError(absl::StrCat(std::string(free.status().message()),
                                                   ": say with --memory how much may be used"));
    }
    return free;
  }
  LR_ASSIGN_OR_RETURN(const MemoryAvailable left, ReadMemoryAvailable());
  return left.bytes;
}

absl::StatusOr<Ceilings> ServeDevice::Measure() const {
  return name == kOwn ? MeasureCeilings(threads) : MeasureTorchCeilings(TorchName(name), threads);
}

}  // namespace longrun::worker
