// All parameters of a model in one contiguous f32 buffer, all gradients in another of the same
// layout. Each named parameter is a view ("slot") into them, so that an all-reduce bucket is a
// slice, a state transfer is one tensor, and the gradient's norm is one reduction.
//
// Owned by the model. One thread at a time, except that slices of `gradients()` may be read and
// written by others once the model has announced them as final (see gpt.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <torch/torch.h>

namespace longrun::model {

// Slots start at multiples of this many floats (a cache line), with zeros between; zeros stay zeros
// under every optimizer.
inline constexpr int64_t kSlotAlignment = 16;

struct ParameterSlot {
  std::string name;  // as Hugging Face's GPT2Model calls it: "h.0.attn.c_attn.weight"
  std::vector<int64_t> shape;
  int64_t offset = 0;  // in floats
  int64_t count = 0;   // without padding
  bool decay = false;  // matrices decay, vectors (biases, norms) do not
};

class FlatParameters {
 public:
  // Lays the slots out in the order given (offset, count and decay are set here), all zeros.
  FlatParameters(std::vector<ParameterSlot> slots, at::Device device);

  const std::vector<ParameterSlot>& slots() const { return slots_; }
  int64_t size() const { return size_; }    // floats, padding included
  at::Tensor& values() { return values_; }  // [size] f32
  const at::Tensor& values() const { return values_; }
  at::Tensor& gradients() { return gradients_; }  // [size] f32
  const at::Tensor& gradients() const { return gradients_; }
  at::Device device() const { return values_.device(); }

  int64_t Find(std::string_view name) const;                            // index of the slot, or -1
  at::Tensor Value(int64_t slot) const { return View(values_, slot); }  // of slot.shape
  at::Tensor Gradient(int64_t slot) const { return View(gradients_, slot); }  // of slot.shape
  // The slot's part of any buffer of this layout (an optimizer's state, a bf16 copy).
  at::Tensor View(const at::Tensor& flat, int64_t slot) const;

 private:
  std::vector<ParameterSlot> slots_;
  int64_t size_ = 0;
  at::Tensor values_;
  at::Tensor gradients_;
};

}  // namespace longrun::model
