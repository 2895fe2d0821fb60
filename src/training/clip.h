// Clipping by the gradient's global norm (Pascanu et al. 2013).
#pragma once

#include <torch/torch.h>

namespace longrun::training {

// The Euclidean norm of a flat f32 buffer, summed in f64 in an order that does not depend on the
// number of threads: ranks that hold the same gradients compute the same bits.
double GlobalNorm(const at::Tensor& flat);

// What to multiply gradients by so that their norm is at most `limit`:
// torch.nn.utils.clip_grad_norm_'s limit / (norm + 1e-6), at most 1. A limit of 0 does not clip.
double ClipScale(double norm, double limit);

}  // namespace longrun::training
