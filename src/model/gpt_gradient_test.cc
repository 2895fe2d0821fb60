// The backward pass, which is written by hand, against autograd, finite differences and itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "model/gpt.h"
#include "model/model_reference.h"
#include "model/tensor_ops.h"

namespace longrun::model {
namespace {

std::unique_ptr<Ops> MakeOps(bool tensor_ops) {
  return tensor_ops ? MakeTensorOps() : MakeCpuOps();
}

double RelativeError(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm().clamp_min(1e-12)).item<double>();
}

class GptGradient : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(GptGradient, IsAutogradsForEachParameter) {
  const auto [bias, tensor_ops] = GetParam();
  Gpt gpt(OddConfig(bias), at::kCPU, 1, Precision::kF32, MakeOps(tensor_ops));
  Scramble(&gpt);
  const at::Tensor tokens = RandomTokens(gpt.config(), 2, 68);
  gpt.flat().gradients().fill_(NAN);  // must be overwritten wherever a parameter is
  gpt.ForwardBackward(tokens, {.loss_scale = 0.25});
  const AutogradGpt reference(gpt);
  (reference.Loss(tokens) * 0.25).backward();
  for (size_t i = 0; i < gpt.flat().slots().size(); ++i) {
    EXPECT_LT(RelativeError(gpt.flat().Gradient(static_cast<int64_t>(i)),
                            reference.parameters()[i].grad()),
              1e-4)
        << gpt.flat().slots()[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(BiasAndOps, GptGradient,
                         testing::Combine(testing::Bool(), testing::Bool()));

GptConfig Dropping() {
  GptConfig config = OddConfig();
  config.dropout = 0.3;
  return config;
}

TEST(GptDropout, IsTheSameByLoopsAndByTensors) {
  Gpt loops(Dropping(), at::kCPU, 1, Precision::kF32, MakeCpuOps());
  Gpt tensors(Dropping(), at::kCPU, 1, Precision::kF32, MakeTensorOps());
  Scramble(&loops);
  Scramble(&tensors);
  const at::Tensor tokens = RandomTokens(loops.config(), 2, 50);
  const double a = loops.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 9});
  const double b = tensors.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 9});
  EXPECT_NEAR(a, b, 1e-4 * b);
  EXPECT_LT(RelativeError(loops.flat().gradients(), tensors.flat().gradients()), 1e-4);
  const double other = loops.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 10});
  EXPECT_GT(std::abs(other - a), 1e-3);
}

TEST(GptDropout, KeepsTheRightShareAtTheRightScale) {
  const at::Tensor mask = DropoutMask({.seed = 5, .rate = 0.25}, 300, 400, at::kCPU);
  EXPECT_NEAR(mask.eq(0).to(at::kFloat).mean().item<double>(), 0.25, 0.005);
  EXPECT_NEAR(mask.mean().item<double>(), 1, 0.01);
  EXPECT_NEAR(mask.mean(0).std().item<double>(), std::sqrt(0.25 / 0.75 / 300), 0.01);
  EXPECT_NEAR(mask.mean(1).std().item<double>(), std::sqrt(0.25 / 0.75 / 400), 0.01);
}

// With the seed fixed, dropout is a function like any other: its gradient must be its slope.
TEST(GptDropout, GradientIsTheSlopeOfTheLoss) {
  Gpt gpt(Dropping(), at::kCPU, 1);
  Scramble(&gpt, 0.2);
  const at::Tensor tokens = RandomTokens(gpt.config(), 2, 40);
  gpt.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 3});
  const at::Tensor gradient = gpt.flat().gradients().clone();
  const at::Tensor direction = gradient / gradient.norm();
  const at::Tensor start = gpt.flat().values().clone();
  const auto loss_at = [&](double distance) {
    gpt.flat().values().copy_(start + direction * distance);
    return gpt.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 3});
  };
  const double step = 1e-2;
  const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
  EXPECT_NEAR(slope, gradient.norm().item<double>(), 0.01 * slope);
}

TEST(GptBackward, AccumulatedMicroBatchesAreTheWholeBatch) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  Scramble(&gpt);
  const at::Tensor tokens = RandomTokens(gpt.config(), 4, 33);
  gpt.ForwardBackward(tokens, {.loss_scale = 0.01});
  const at::Tensor whole = gpt.flat().gradients().clone();
  gpt.ForwardBackward(tokens.narrow(0, 0, 1), {.loss_scale = 0.01});
  gpt.ForwardBackward(tokens.narrow(0, 1, 3), {.loss_scale = 0.01, .accumulate = true});
  EXPECT_LT(RelativeError(gpt.flat().gradients(), whole), 1e-5);
}

TEST(GptBackward, AnnouncesEachSliceOnceAndOnlyWhenFinal) {
  for (const bool accumulate : {false, true}) {
    Gpt gpt(OddConfig(), at::kCPU, 1);
    Scramble(&gpt);
    const at::Tensor tokens = RandomTokens(gpt.config(), 2, 30);
    if (accumulate) gpt.ForwardBackward(tokens, {.loss_scale = 1});
    std::vector<std::tuple<int64_t, int64_t, at::Tensor>> slices;
    gpt.ForwardBackward(
        tokens,
        {.loss_scale = 1, .accumulate = accumulate, .ready = [&](int64_t begin, int64_t end) {
           slices.emplace_back(begin, end,
                               gpt.flat().gradients().narrow(0, begin, end - begin).clone());
         }});
    int64_t left = gpt.flat().size();
    for (const auto& [begin, end, then] : slices) {
      EXPECT_EQ(end, left);
      EXPECT_LT(begin, end);
      EXPECT_TRUE(then.equal(gpt.flat().gradients().narrow(0, begin, end - begin)));
      left = begin;
    }
    EXPECT_EQ(left, 0);
    EXPECT_EQ(slices.size(), static_cast<size_t>(gpt.config().layers + 2));
  }
}

TEST(GptBackward, AnswersToANanWithANan) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  gpt.flat().Value(gpt.flat().Find("h.0.attn.c_attn.weight"))[0][0] = NAN;
  EXPECT_TRUE(std::isnan(gpt.ForwardBackward(RandomTokens(gpt.config(), 1, 20), {})));
}

class GptPrecision : public testing::TestWithParam<Precision> {};

TEST_P(GptPrecision, RepeatsBitForBit) {
  GptConfig config;
  config.layers = 2;
  config.context = 64;
  const at::Tensor tokens = RandomTokens(config, 4, 65);
  at::Tensor gradients[2];
  double losses[2];
  for (int i = 0; i < 2; ++i) {
    Gpt gpt(config, at::kCPU, 1, GetParam());
    gpt.Evaluate(RandomTokens(config, 7, 30));  // other shapes in between must not matter
    losses[i] = gpt.ForwardBackward(tokens, {.loss_scale = 1.0 / 256});
    gradients[i] = gpt.flat().gradients().clone();
  }
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_TRUE(gradients[0].equal(gradients[1]));
}

INSTANTIATE_TEST_SUITE_P(Both, GptPrecision, testing::Values(Precision::kF32, Precision::kBf16));

// (by tensor operations, sequence length, dropout rate): lengths that are and are not whole blocks.
class GptBf16 : public testing::TestWithParam<std::tuple<bool, int64_t, double>> {};

TEST_P(GptBf16, IsCloseToF32) {
  const auto [tensor_ops, length, dropout] = GetParam();
  GptConfig config;
  config.layers = 2;
  config.context = 96;
  config.dropout = dropout;
  const at::Tensor tokens = RandomTokens(config, 3, length + 1);
  Gpt exact(config, at::kCPU, 1);
  Gpt rounded(config, at::kCPU, 1, Precision::kBf16, MakeOps(tensor_ops));
  Scramble(&exact, 0.02);
  rounded.flat().values().copy_(exact.flat().values());
  const double a = exact.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 2});
  const double b = rounded.ForwardBackward(tokens, {.loss_scale = 1, .dropout_seed = 2});
  EXPECT_NEAR(a, b, 2e-3 * a);
  for (size_t i = 0; i < exact.flat().slots().size(); ++i) {
    const auto slot = static_cast<int64_t>(i);
    EXPECT_LT(RelativeError(rounded.flat().Gradient(slot), exact.flat().Gradient(slot)), 0.03)
        << exact.flat().slots()[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GptBf16,
                         testing::Combine(testing::Bool(), testing::Values(96, 33),
                                          testing::Values(0.0, 0.2)));

}  // namespace
}  // namespace longrun::model
