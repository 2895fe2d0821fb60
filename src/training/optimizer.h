// First-order optimizers over a model's flat parameters: one pass over contiguous f32 buffers
// (fused loops on the CPU, tensor operations elsewhere). Formulas are torch.optim's of the same
// name.
//
// Owned by the training loop and used by its thread alone; keeps a reference to the parameters.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "base/status.h"
#include "model/flat_parameters.h"

namespace longrun::training {

enum class OptimizerKind { kSgd, kMomentum, kAdaGrad, kRmsProp, kAdam, kAdamW };

// "sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw".
absl::StatusOr<OptimizerKind> ParseOptimizerKind(const std::string& name);
std::string OptimizerKindName(OptimizerKind kind);

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdamW;
  // Of matrices alone (ParameterSlot::decay). AdamW: decoupled, p -= lr·decay·p (Loshchilov and
  // Hutter 2019). All others: added to the gradient, g += decay·p.
  double weight_decay = 0.1;
  double momentum = 0.9;  // kMomentum
  bool nesterov = false;  // kMomentum
  double beta1 = 0.9;     // kAdam, kAdamW
  double beta2 = 0.95;    // kAdam, kAdamW
  double alpha = 0.99;    // kRmsProp: smoothing
  double epsilon = 1e-8;  // kAdaGrad, kRmsProp, kAdam, kAdamW
};

class Optimizer {
 public:
  // `fused`: by the CPU's own loops where the parameters are there; else by tensor operations.
  Optimizer(const OptimizerConfig& config, model::FlatParameters* parameters, bool fused = true);

  // Updates the parameters from the gradients, each multiplied by `gradient_scale` on the way in
  // (what ClipScale gives: clipping then costs no pass of its own).
  void Step(double lr, double gradient_scale = 1);

  // What a checkpoint or a peer needs besides the parameters: flat f32 buffers of the parameters'
  // layout, named ("momentum", "exp_avg", "exp_avg_sq", "sum", "square_avg"), and the number of
  // steps taken, on which the bias corrections of Adam depend. Write into the tensors in place.
  const std::vector<std::pair<std::string, at::Tensor>>& State() const { return state_; }
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  const OptimizerConfig& config() const { return config_; }

 private:
  const OptimizerConfig config_;
  model::FlatParameters* const parameters_;
  const bool fused_;
  std::vector<std::pair<std::string, at::Tensor>> state_;
  int64_t steps_ = 0;
};

}  // namespace longrun::training
