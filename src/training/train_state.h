// What training consists of at one moment: parameters, optimizer state and the number of steps they
// have seen. Everything else a step needs is a function of (seed, step).
//
// Belongs to the training loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "model/gpt.h"
#include "training/optimizer.h"
#include "training/train_config.h"

namespace longrun::training {

// A step that says the tensors are nobody's state: a transfer was cut off.
inline constexpr int64_t kNoState = -1;

class TrainState {
 public:
  TrainState(const TrainConfig& config, at::Device device) : config_(config), device_(device) {
    Start();
  }

  // A seeded start: the state before the first step, the same in every process.
  void Start() {
    optimizer_.reset();
    model_ = std::make_unique<model::Gpt>(config_.model, device_, config_.seed, config_.precision);
    optimizer_ = std::make_unique<Optimizer>(config_.optimizer, &model_->flat());
    step_ = 0;
  }

  model::Gpt& model() { return *model_; }
  Optimizer& optimizer() { return *optimizer_; }
  int64_t step() const { return step_; }  // steps applied; kNoState: none
  void set_step(int64_t step) {
    step_ = step;
    if (step >= 0) optimizer_->set_steps(step);
  }
  // One optimizer step with the summed gradients, which have the layout of the parameters.
  void Apply(const at::Tensor& gradients, double lr, double scale) {
    // The optimizer reads the gradients where the model keeps them; lend it these.
    at::Tensor own = std::exchange(model_->flat().gradients(), gradients);
    optimizer_->Step(lr, scale);
    model_->flat().gradients() = std::move(own);
    ++step_;
  }

  // The flat buffers that are the state, by name; [size] f32 each, written in place.
  std::vector<std::pair<std::string, at::Tensor>> Tensors() const {
    std::vector<std::pair<std::string, at::Tensor>> tensors{
        {"parameters", model_->flat().values()}};
    for (const auto& entry : optimizer_->State()) {
      tensors.emplace_back("optimizer." + entry.first, entry.second);
    }
    return tensors;
  }

 private:
  const TrainConfig config_;
  const at::Device device_;
  std::unique_ptr<model::Gpt> model_;
  std::unique_ptr<Optimizer> optimizer_;
  int64_t step_ = 0;
};

}  // namespace longrun::training
