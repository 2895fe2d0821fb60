#include "serving/execute_torch/torch_device.h"

#include <fmt/core.h>

#include <algorithm>
#include <new>
#include <string_view>

#include "absl/strings/numbers.h"
#include "base/time.h"
#include "model/threads.h"
#include "serving/execute/cpu_executor.h"
#include "serving/execute_torch/torch_executor.h"
#ifdef LR_CUDA_RUNTIME
#include <cuda_runtime_api.h>
#endif

namespace longrun::serving {
namespace {

constexpr int kRepeats = 5;

// The number of a CUDA device's name; -1 for what is no such name.
int CudaIndex(const std::string& name) {
  if (name == "cuda") return 0;
  int index = -1;
  if (!name.starts_with("cuda:") || !absl::SimpleAtoi(name.substr(5), &index)) return -1;
  return index;
}

void Finish(at::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

// The least seconds of some runs, after one that does not count.
template <class Work>
double Fastest(at::Device device, Work work) {
  double best = 1e9;
  for (int i = 0; i <= kRepeats; ++i) {
    Finish(device);
    const Stopwatch watch;
    work();
    Finish(device);
    if (i > 0) best = std::min(best, watch.seconds());
  }
  return best;
}

double ProductRate(at::Device device, at::ScalarType type) {
  const int64_t n = device.is_cuda() ? 4096 : 1024;
  const auto options = at::TensorOptions().device(device).dtype(type);
  const at::Tensor a = at::ones({n, n}, options), b = at::ones({n, n}, options);
  const double operations = 2.0 * static_cast<double>(n) * static_cast<double>(n * n);
  return operations / Fastest(device, [&] { at::linear(a, b); });
}

double CopyRate(at::Device device) {
  const int64_t bytes = int64_t{1} << (device.is_cuda() ? 28 : 27);
  const auto options = at::TensorOptions().device(device).dtype(at::kByte);
  const at::Tensor from = at::ones({bytes}, options);
  at::Tensor to = at::zeros({bytes}, options);
  return 2.0 * static_cast<double>(bytes) / Fastest(device, [&] { to.copy_(from); });
}

}  // namespace

bool HasOwnMemory(const std::string& device) { return CudaIndex(device) >= 0; }

absl::StatusOr<at::Device> FindDevice(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
  const int index = CudaIndex(name);
  if (index < 0) {
    return absl::InvalidArgumentError(
        fmt::format("device '{}' is not known; cpu, cuda and cuda:N are right", name));
  }
  if (!at::globalContext().hasCUDART()) {
    return absl::NotFoundError(
        fmt::format("device {}: this program's libtorch was built without CUDA; build with one "
                    "that has it (cmake -DCMAKE_PREFIX_PATH=/path/to/libtorch), or use cpu",
                    name));
  }
  const int count = static_cast<int>(torch::cuda::device_count());
  if (index >= count) {
    return absl::NotFoundError(
        count == 0
            ? fmt::format("device {}: no CUDA device is there (is a driver loaded? what does "
                          "CUDA_VISIBLE_DEVICES say?)",
                          name)
            : fmt::format("device {}: there are cuda:0 to cuda:{}", name, count - 1));
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

void UseThreads(int threads, at::ScalarType type) {
  const int count = threads > 0 ? threads : UsableCpus();
  const bool own_threads_in_blas = !at::hasMKL();
  const bool blas_multiplies = type == at::kFloat;  // else oneDNN does, on libtorch's threads
  model::SetThreads(blas_multiplies || !own_threads_in_blas ? count : 1);
  at::set_num_threads(blas_multiplies && own_threads_in_blas ? 1 : count);
}

absl::Status StatusOfException(const std::exception& e, const std::string& doing) {
  const auto* torchs = dynamic_cast<const c10::Error*>(&e);
  std::string why = torchs != nullptr ? torchs->what_without_backtrace() : e.what();
  why = why.substr(0, why.find('\n'));
  // Older libtorches and the CPU's allocator say it in words alone.
  const bool memory = dynamic_cast<const std::bad_alloc*>(&e) != nullptr ||
                      why.find("out of memory") != std::string::npos ||
                      why.find("not enough memory") != std::string::npos ||
                      why.find("can't allocate memory") != std::string::npos;
  if (memory) return absl::ResourceExhaustedError(fmt::format("no memory for {}: {}", doing, why));
  return absl::InternalError(fmt::format("{}: {}", doing, why));
}

absl::StatusOr<int64_t> FreeDeviceBytes(const std::string& name) {
  LR_ASSIGN_OR_RETURN(const at::Device device, FindDevice(name));
  if (!device.is_cuda()) {
    return absl::InvalidArgumentError(fmt::format("device {} has no memory of its own", name));
  }
#ifdef LR_CUDA_RUNTIME
  size_t free = 0, total = 0;
  cudaError_t error = cudaSetDevice(device.index());
  if (error == cudaSuccess) error = cudaMemGetInfo(&free, &total);
  if (error == cudaSuccess) return static_cast<int64_t>(free);
  return absl::UnavailableError(fmt::format("device {}: {}", name, cudaGetErrorString(error)));
#else
  return absl::UnimplementedError(
      fmt::format("device {}: how much memory is free cannot be read (this program was built "
                  "without CUDA's headers)",
                  name));
#endif
}

absl::StatusOr<Ceilings> MeasureTorchCeilings(const std::string& name, int threads) {
  LR_ASSIGN_OR_RETURN(const at::Device device, FindDevice(name));
  const auto product_rate = [&](at::ScalarType type) {
    UseThreads(threads, type);
    return ProductRate(device, type);
  };
  return Guarded("measuring what the device can do", [&]() -> absl::StatusOr<Ceilings> {
    Ceilings ceilings = {.bf16_flops_per_second = product_rate(at::kBFloat16)};
    ceilings.read_bytes_per_second = CopyRate(device);  // on libtorch's threads, as bf16
    ceilings.f32_flops_per_second = product_rate(at::kFloat);
    return ceilings;
  });
}

}  // namespace longrun::serving
