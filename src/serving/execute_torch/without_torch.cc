// torch_executor.h in a program that was built without libtorch.
#include "serving/execute_torch/torch_executor.h"

namespace longrun::serving {
namespace {

absl::Status Missing() {
  return absl::InvalidArgumentError(
      "this program was built without libtorch and has the device cpu alone");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> OpenTorchExecutor(const std::string& folder,
                                                            const TorchExecutorOptions& options) {
  return Missing();
}

bool HasOwnMemory(const std::string& device) { return false; }

absl::StatusOr<int64_t> FreeDeviceBytes(const std::string& device) { return Missing(); }

absl::StatusOr<Ceilings> MeasureTorchCeilings(const std::string& device, int threads) {
  return Missing();
}

}  // namespace longrun::serving
