// Sums the flat gradients over the gang while the backward pass still runs: as soon as a bucket's
// slice is final it is copied aside and its all-reduce starts. The copy is what makes recovery
// cheap: a broken all-reduce may scribble on its buffer for a while, but the rank's own gradients
// stay whole and need not be computed again.
//
// Used by the training loop's thread alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "training/gang.h"

namespace longrun::training {

class GradientReducer {
 public:
  // Buckets are [.., size) cut from the end in pieces of `bucket_floats`, the last one shorter: the
  // same on every rank, however the backward pass slices its announcements.
  GradientReducer(int64_t size, int64_t bucket_floats);

  // Begins a step on `gang`, which must outlive it. Sums come out of `gradients` ([size] f32).
  void Begin(Gang* gang, const at::Tensor& gradients);
  // Gradients from `begin` to the end are final.
  void Ready(int64_t begin);
  // The reduced sum once all flights are done; with a gang of one the local gradients themselves.
  const at::Tensor& sum() const { return gang_->spec().world == 1 ? local_ : sum_; }
  const std::vector<FlightPtr>& flights() const { return flights_; }
  // After a failure: the buffer belongs to the broken flights, the next step gets a fresh one.
  void Abandon();

 private:
  const int64_t size_;
  const int64_t bucket_floats_;
  Gang* gang_ = nullptr;
  at::Tensor local_;
  at::Tensor sum_;
  int64_t launched_ = 0;  // everything from here to the end is under way
  std::vector<FlightPtr> flights_;
};

}  // namespace longrun::training
