#include "model/flat_parameters.h"

#include <utility>

#include "base/check.h"

namespace longrun::model {

FlatParameters::FlatParameters(std::vector<ParameterSlot> slots, at::Device device)
    : slots_(std::move(slots)) {
  for (ParameterSlot& slot : slots_) {
    slot.offset = size_;
    slot.count = 1;
    for (const int64_t side : slot.shape) slot.count *= side;
    slot.decay = slot.shape.size() >= 2;
    size_ += (slot.count + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment;
  }
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  values_ = at::zeros({size_}, options);
  gradients_ = at::zeros({size_}, options);
}

int64_t FlatParameters::Find(std::string_view name) const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].name == name) return static_cast<int64_t>(i);
  }
  return -1;
}

at::Tensor FlatParameters::View(const at::Tensor& flat, int64_t slot) const {
  LR_CHECK_EQ(flat.numel(), size_);
  const ParameterSlot& s = slots_[static_cast<size_t>(slot)];
  return flat.narrow(0, s.offset, s.count).view(s.shape);
}

}  // namespace longrun::model
