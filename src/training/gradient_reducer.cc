#include "training/gradient_reducer.h"

#include <algorithm>

#include "base/check.h"

namespace longrun::training {

GradientReducer::GradientReducer(int64_t size, int64_t bucket_floats)
    : size_(size), bucket_floats_(bucket_floats), launched_(size) {
  LR_CHECK_GE(bucket_floats, 1);
}

void GradientReducer::Begin(Gang* gang, const at::Tensor& gradients) {
  gang_ = gang;
  local_ = gradients;
  launched_ = size_;
  flights_.clear();
  if (gang->spec().world > 1 && !sum_.defined()) sum_ = at::zeros_like(gradients);
}

void GradientReducer::Ready(int64_t begin) {
  if (gang_->spec().world == 1) return;
  while (launched_ > 0) {
    const int64_t start = std::max<int64_t>(0, launched_ - bucket_floats_);
    if (start < begin) return;
    at::Tensor bucket = sum_.narrow(0, start, launched_ - start);
    bucket.copy_(local_.narrow(0, start, launched_ - start));
    flights_.push_back(gang_->AllReduceSum(bucket));
    launched_ = start;
  }
}

void GradientReducer::Abandon() {
  sum_ = at::Tensor();
  flights_.clear();
}

}  // namespace longrun::training
