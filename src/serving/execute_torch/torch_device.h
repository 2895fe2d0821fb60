// Devices by name, and libtorch's exceptions as Status. Any thread.
#pragma once

#include <exception>
#include <string>

#include <torch/torch.h>

#include "base/status.h"

namespace longrun::serving {

// "cpu", "cuda", "cuda:1". InvalidArgument for another name, NotFound where this libtorch or this
// machine has no such device.
absl::StatusOr<at::Device> FindDevice(const std::string& name);

// How many threads compute on the CPU with weights of `type`; 0: one for each CPU that we may use.
// For the whole process. They all go to whoever multiplies: a BLAS on threads of its own (Debian's
// OpenBLAS) and libtorch's OpenMP, each waiting awake for its next turn, take the cores from each
// other (measured: five times slower together).
void UseThreads(int threads, at::ScalarType type);

// "no memory for `doing`" is ResourceExhausted; everything else, Internal.
absl::Status StatusOfException(const std::exception& e, const std::string& doing);

// What `work` returns (a Status or StatusOr), without autograd's books and with libtorch's
// exceptions as Status.
template <class Work>
auto Guarded(const std::string& doing, Work work) -> decltype(work()) {
  try {
    const c10::InferenceMode no_autograd;
    return work();
  } catch (const std::exception& e) {
    return StatusOfException(e, doing);
  }
}

}  // namespace longrun::serving
