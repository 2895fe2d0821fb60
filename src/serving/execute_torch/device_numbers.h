// The whole numbers that a step needs on the device (tokens, rows, slots …), gathered first and
// sent in one copy: each copy costs a launch and a wait. Belongs to one step.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/torch.h>

namespace longrun::serving {

class DeviceNumbers {
 public:
  struct Range {
    int64_t begin = 0, count = 0;
  };

  Range Add(const std::vector<int64_t>& numbers) {
    const Range range = {static_cast<int64_t>(all_.size()), static_cast<int64_t>(numbers.size())};
    all_.insert(all_.end(), numbers.begin(), numbers.end());
    return range;
  }
  void Send(at::Device device) { tensor_ = at::tensor(all_, at::kLong).to(device); }
  // int64 [count]; once sent.
  at::Tensor Get(Range range) const { return tensor_.narrow(0, range.begin, range.count); }

 private:
  std::vector<int64_t> all_;
  at::Tensor tensor_;
};

}  // namespace longrun::serving
