#include "training/optimizer_loops.h"

#include <cmath>

// Debian's baseline is SSE2: clones for wider vectors are picked when the program starts.
// Contraction to fused multiply-adds is off (CMakeLists.txt), so that all of them compute the same
// bits.
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define LR_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define LR_CLONES
#endif

namespace longrun::training::loops {

LR_CLONES void Sgd(float* __restrict p, const float* __restrict g, int64_t n, float lr, float decay,
                   float scale) {
  for (int64_t i = 0; i < n; ++i) p[i] -= lr * (g[i] * scale + decay * p[i]);
}

LR_CLONES void Momentum(float* __restrict p, const float* __restrict g, float* __restrict m,
                        int64_t n, float lr, float momentum, bool nesterov, bool first, float decay,
                        float scale) {
  const float keep = first ? 0.0f : momentum;  // the first step takes the gradient as it is
  const float ahead = nesterov ? momentum : 1.0f;
  const float now = nesterov ? 1.0f : 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    const float d = g[i] * scale + decay * p[i];
    m[i] = keep * m[i] + d;
    p[i] -= lr * (now * d + ahead * m[i]);
  }
}

LR_CLONES void AdaGrad(float* __restrict p, const float* __restrict g, float* __restrict sum,
                       int64_t n, float lr, float epsilon, float decay, float scale) {
  for (int64_t i = 0; i < n; ++i) {
    const float d = g[i] * scale + decay * p[i];
    sum[i] += d * d;
    p[i] -= lr * d / (std::sqrt(sum[i]) + epsilon);
  }
}

LR_CLONES void RmsProp(float* __restrict p, const float* __restrict g, float* __restrict v,
                       int64_t n, float lr, float alpha, float epsilon, float decay, float scale) {
  for (int64_t i = 0; i < n; ++i) {
    const float d = g[i] * scale + decay * p[i];
    v[i] = alpha * v[i] + (1 - alpha) * d * d;
    p[i] -= lr * d / (std::sqrt(v[i]) + epsilon);
  }
}

LR_CLONES void Adam(float* __restrict p, const float* __restrict g, float* __restrict m,
                    float* __restrict v, int64_t n, const AdamStep& step) {
  const AdamStep s = step;
  const float shrink = 1 - s.lr * s.decoupled_decay;
  const float rate = s.lr / s.correction1;
  for (int64_t i = 0; i < n; ++i) {
    const float d = g[i] * s.scale + s.coupled_decay * p[i];
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * d;
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * d * d;
    p[i] = p[i] * shrink - rate * m[i] / (std::sqrt(v[i]) / s.sqrt_correction2 + s.epsilon);
  }
}

}  // namespace longrun::training::loops
