// The optimizers' inner loops on the CPU: one pass over `n` contiguous floats each, one thread.
// p: parameters, g: gradients (read through `scale`), m, v: state. Formulas: torch.optim.
#pragma once

#include <cstdint>

namespace longrun::training::loops {

struct AdamStep {
  float lr, beta1, beta2, epsilon;
  float correction1, sqrt_correction2;  // 1 - beta1^t, sqrt(1 - beta2^t)
  float coupled_decay, decoupled_decay;
  float scale;
};

void Sgd(float* p, const float* g, int64_t n, float lr, float decay, float scale);
void Momentum(float* p, const float* g, float* m, int64_t n, float lr, float momentum,
              bool nesterov, bool first, float decay, float scale);
void AdaGrad(float* p, const float* g, float* sum, int64_t n, float lr, float epsilon, float decay,
             float scale);
void RmsProp(float* p, const float* g, float* v, int64_t n, float lr, float alpha, float epsilon,
             float decay, float scale);
void Adam(float* p, const float* g, float* m, float* v, int64_t n, const AdamStep& step);

}  // namespace longrun::training::loops
