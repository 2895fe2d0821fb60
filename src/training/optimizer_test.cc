#include "training/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "training/clip.h"

namespace longrun::training {
namespace {

using model::FlatParameters;

constexpr double kLr = 0.03;
constexpr int kSteps = 6;

// Two matrices (which decay) around a vector (which does not), of odd sizes.
FlatParameters MakeParameters() {
  FlatParameters flat({{.name = "a.weight", .shape = {37, 29}},
                       {.name = "a.bias", .shape = {29}},
                       {.name = "b.weight", .shape = {301, 211}}},
                      at::kCPU);
  torch::manual_seed(1);
  for (size_t i = 0; i < flat.slots().size(); ++i) {
    flat.Value(static_cast<int64_t>(i)).normal_();
  }
  return flat;
}

// The gradient at a step: differs in every element, some are zero.
void SetGradients(FlatParameters* flat, int step) {
  torch::manual_seed(100 + step);
  for (size_t i = 0; i < flat->slots().size(); ++i) {
    at::Tensor g = flat->Gradient(static_cast<int64_t>(i));
    g.normal_();
    g.masked_fill_(at::rand_like(g) < 0.1, 0);
  }
}

using MakeReference =
    std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<at::Tensor>, double decay)>;

// Steps both on the same gradients. torch's optimizers know no exceptions from decay: two of them.
void ExpectLikeTorch(const OptimizerConfig& config, const MakeReference& make, bool fused) {
  FlatParameters flat = MakeParameters();
  Optimizer ours(config, &flat, fused);
  std::vector<at::Tensor> copies;
  for (size_t i = 0; i < 3; ++i) {
    copies.push_back(flat.Value(static_cast<int64_t>(i)).clone().set_requires_grad(true));
  }
  const auto matrices = make({copies[0], copies[2]}, config.weight_decay);
  const auto vectors = make({copies[1]}, 0);
  for (int step = 0; step < kSteps; ++step) {
    SetGradients(&flat, step);
    for (size_t i = 0; i < 3; ++i) {
      copies[i].mutable_grad() = flat.Gradient(static_cast<int64_t>(i)) * 0.5;
    }
    ours.Step(kLr, 0.5);
    matrices->step();
    vectors->step();
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(flat.Value(static_cast<int64_t>(i)).allclose(copies[i], 1e-5, 1e-6)) << i;
  }
}

class OptimizerLikeTorch : public testing::TestWithParam<bool> {};

TEST_P(OptimizerLikeTorch, Sgd) {
  ExpectLikeTorch(
      {.kind = OptimizerKind::kSgd},
      [](auto p, double decay) {
        return std::make_unique<torch::optim::SGD>(
            p, torch::optim::SGDOptions(kLr).weight_decay(decay));
      },
      GetParam());
}

TEST_P(OptimizerLikeTorch, Momentum) {
  for (const bool nesterov : {false, true}) {
    ExpectLikeTorch(
        {.kind = OptimizerKind::kMomentum, .momentum = 0.8, .nesterov = nesterov},
        [&](auto p, double decay) {
          return std::make_unique<torch::optim::SGD>(
              p,
              torch::optim::SGDOptions(kLr).momentum(0.8).nesterov(nesterov).weight_decay(decay));
        },
        GetParam());
  }
}

TEST_P(OptimizerLikeTorch, AdaGrad) {
  ExpectLikeTorch(
      {.kind = OptimizerKind::kAdaGrad, .epsilon = 1e-7},
      [](auto p, double decay) {
        return std::make_unique<torch::optim::Adagrad>(
            p, torch::optim::AdagradOptions(kLr).eps(1e-7).weight_decay(decay));
      },
      GetParam());
}

TEST_P(OptimizerLikeTorch, RmsProp) {
  ExpectLikeTorch(
      {.kind = OptimizerKind::kRmsProp, .alpha = 0.9},
      [](auto p, double decay) {
        return std::make_unique<torch::optim::RMSprop>(
            p, torch::optim::RMSpropOptions(kLr).alpha(0.9).weight_decay(decay));
      },
      GetParam());
}

TEST_P(OptimizerLikeTorch, Adam) {
  ExpectLikeTorch(
      {.kind = OptimizerKind::kAdam},
      [](auto p, double decay) {
        return std::make_unique<torch::optim::Adam>(
            p, torch::optim::AdamOptions(kLr).betas({0.9, 0.95}).weight_decay(decay));
      },
      GetParam());
}

TEST_P(OptimizerLikeTorch, AdamW) {
  ExpectLikeTorch(
      {.kind = OptimizerKind::kAdamW},
      [](auto p, double decay) {
        return std::make_unique<torch::optim::AdamW>(
            p, torch::optim::AdamWOptions(kLr).betas({0.9, 0.95}).weight_decay(decay));
      },
      GetParam());
}

INSTANTIATE_TEST_SUITE_P(FusedOrTensors, OptimizerLikeTorch, testing::Bool());

const OptimizerKind kKinds[] = {OptimizerKind::kSgd,     OptimizerKind::kMomentum,
                                OptimizerKind::kAdaGrad, OptimizerKind::kRmsProp,
                                OptimizerKind::kAdam,    OptimizerKind::kAdamW};

// What recovery relies on: parameters, state and the number of steps are all there is.
TEST(Optimizer, GoesOnBitForBitFromItsState) {
  for (const OptimizerKind kind : kKinds) {
    FlatParameters flat = MakeParameters();
    Optimizer whole({.kind = kind}, &flat);
    for (int step = 0; step < 3; ++step) {
      SetGradients(&flat, step);
      whole.Step(kLr);
    }
    FlatParameters other = MakeParameters();
    Optimizer resumed({.kind = kind}, &other);
    other.values().copy_(flat.values());
    for (size_t i = 0; i < whole.State().size(); ++i) {
      EXPECT_EQ(whole.State()[i].first, resumed.State()[i].first);
      at::Tensor(resumed.State()[i].second).copy_(whole.State()[i].second);
    }
    resumed.set_steps(whole.steps());
    SetGradients(&flat, 3);
    SetGradients(&other, 3);
    whole.Step(kLr);
    resumed.Step(kLr);
    EXPECT_TRUE(flat.values().equal(other.values())) << OptimizerKindName(kind);
  }
}

TEST(Optimizer, DoesNotDependOnTheNumberOfThreads) {
  const int threads = at::get_num_threads();
  for (const OptimizerKind kind : kKinds) {
    at::Tensor results[2];
    for (int i = 0; i < 2; ++i) {
      at::set_num_threads(i + 1);
      FlatParameters flat = MakeParameters();
      Optimizer optimizer({.kind = kind}, &flat);
      for (int step = 0; step < 3; ++step) {
        SetGradients(&flat, step);
        optimizer.Step(kLr);
      }
      results[i] = flat.values().clone();
    }
    EXPECT_TRUE(results[0].equal(results[1])) << OptimizerKindName(kind);
  }
  at::set_num_threads(threads);
}

TEST(Optimizer, PaddingStaysZero) {
  for (const OptimizerKind kind : kKinds) {
    FlatParameters flat = MakeParameters();
    Optimizer optimizer({.kind = kind}, &flat);
    SetGradients(&flat, 0);
    optimizer.Step(kLr);
    const auto& slots = flat.slots();
    for (size_t i = 0; i + 1 < slots.size(); ++i) {
      const int64_t end = slots[i].offset + slots[i].count;
      ASSERT_LT(end, slots[i + 1].offset);
      EXPECT_TRUE(flat.values().narrow(0, end, slots[i + 1].offset - end).eq(0).all().item<bool>());
    }
  }
}

TEST(Optimizer, NamesGoBothWays) {
  for (const OptimizerKind kind : kKinds) {
    EXPECT_EQ(*ParseOptimizerKind(OptimizerKindName(kind)), kind);
  }
  EXPECT_THAT(std::string(ParseOptimizerKind("adamx").status().message()),
              testing::HasSubstr("'adamx' is not known"));
}

}  // namespace
}  // namespace longrun::training
