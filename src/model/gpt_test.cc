#include "model/gpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/model_reference.h"
#include "model/tensor_ops.h"

namespace longrun::model {
namespace {

using Matrix = std::vector<std::vector<double>>;

// GPT-2 by loops over numbers: nothing of libtorch but reading the parameters.
class LoopGpt {
 public:
  explicit LoopGpt(const Gpt& gpt) : config_(gpt.config()), flat_(gpt.flat()) {}

  Matrix Logits(const std::vector<int64_t>& tokens) const {
    const at::Tensor wte = Get("wte.weight"), wpe = Get("wpe.weight");
    Matrix x(tokens.size(), std::vector<double>(Width()));
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (size_t i = 0; i < Width(); ++i) {
        x[t][i] = At(wte, tokens[t], i) + At(wpe, static_cast<int64_t>(t), i);
      }
    }
    for (int64_t l = 0; l < config_.layers; ++l) {
      const std::string h = "h." + std::to_string(l);
      const Matrix qkv = Linear(Norm(x, h + ".ln_1"), h + ".attn.c_attn");
      Add(&x, Linear(Attend(qkv), h + ".attn.c_proj"));
      Matrix up = Linear(Norm(x, h + ".ln_2"), h + ".mlp.c_fc");
      for (auto& row : up) {
        for (double& v : row) {
          v = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
        }
      }
      Add(&x, Linear(up, h + ".mlp.c_proj"));
    }
    const Matrix last = Norm(x, "ln_f");
    Matrix logits(tokens.size(), std::vector<double>(static_cast<size_t>(config_.vocab_size)));
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (int64_t v = 0; v < config_.vocab_size; ++v) {
        for (size_t i = 0; i < Width(); ++i) {
          logits[t][static_cast<size_t>(v)] += last[t][i] * At(wte, v, i);
        }
      }
    }
    return logits;
  }

 private:
  size_t Width() const { return static_cast<size_t>(config_.d_model); }
  at::Tensor Get(const std::string& name) const {
    const int64_t slot = flat_.Find(name);
    return slot < 0 ? at::Tensor() : flat_.Value(slot);
  }
  static double At(const at::Tensor& m, int64_t row, size_t column) {
    return m.data_ptr<float>()[row * m.size(1) + static_cast<int64_t>(column)];
  }
  static double At(const at::Tensor& v, size_t i) {
    return v.defined() ? v.data_ptr<float>()[i] : 0;
  }

  static void Add(Matrix* x, const Matrix& y) {
    for (size_t t = 0; t < x->size(); ++t) {
      for (size_t i = 0; i < (*x)[t].size(); ++i) (*x)[t][i] += y[t][i];
    }
  }
  Matrix Linear(const Matrix& x, const std::string& name) const {
    const at::Tensor w = Get(name + ".weight"), b = Get(name + ".bias");
    Matrix y(x.size(), std::vector<double>(static_cast<size_t>(w.size(1))));
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t o = 0; o < y[t].size(); ++o) {
        y[t][o] = At(b, o);
        for (size_t i = 0; i < x[t].size(); ++i) {
          y[t][o] += x[t][i] * At(w, static_cast<int64_t>(i), o);
        }
      }
    }
    return y;
  }
  Matrix Norm(const Matrix& x, const std::string& name) const {
    const at::Tensor w = Get(name + ".weight"), b = Get(name + ".bias");
    Matrix y = x;
    for (auto& row : y) {
      double mean = 0, variance = 0;
      for (const double v : row) mean += v / static_cast<double>(Width());
      for (const double v : row) variance += (v - mean) * (v - mean) / static_cast<double>(Width());
      for (size_t i = 0; i < row.size(); ++i) {
        row[i] = (row[i] - mean) / std::sqrt(variance + config_.layer_norm_epsilon) * At(w, i) +
                 At(b, i);
      }
    }
    return y;
  }
  Matrix Attend(const Matrix& qkv) const {
    const size_t dim = static_cast<size_t>(config_.head_dim());
    Matrix y(qkv.size(), std::vector<double>(Width()));
    for (size_t h = 0; h < static_cast<size_t>(config_.heads); ++h) {
      for (size_t t = 0; t < qkv.size(); ++t) {
        std::vector<double> p(t + 1);
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (size_t i = 0; i < dim; ++i)
            dot += qkv[t][h * dim + i] * qkv[s][Width() + h * dim + i];
          p[s] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
          sum += p[s];
        }
        for (size_t s = 0; s <= t; ++s) {
          for (size_t i = 0; i < dim; ++i) {
            y[t][h * dim + i] += p[s] / sum * qkv[s][2 * Width() + h * dim + i];
          }
        }
      }
    }
    return y;
  }

  const GptConfig config_;
  const FlatParameters& flat_;
};

std::vector<int64_t> Row(const at::Tensor& tokens, int64_t row) {
  const int64_t* p = tokens.contiguous().data_ptr<int64_t>() + row * tokens.size(1);
  return {p, p + tokens.size(1)};
}

std::unique_ptr<Ops> MakeOps(bool tensor_ops) {
  return tensor_ops ? MakeTensorOps() : MakeCpuOps();
}

class GptLogits : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(GptLogits, AreThoseOfPlainLoops) {
  const auto [bias, tensor_ops] = GetParam();
  Gpt gpt(OddConfig(bias), at::kCPU, 1, Precision::kF32, MakeOps(tensor_ops));
  Scramble(&gpt);
  const at::Tensor tokens = RandomTokens(gpt.config(), 2, 67);
  const at::Tensor logits = gpt.Logits(tokens);
  for (int64_t b = 0; b < 2; ++b) {
    const Matrix expected = LoopGpt(gpt).Logits(Row(tokens, b));
    for (int64_t t = 0; t < tokens.size(1); ++t) {
      for (int64_t v = 0; v < gpt.config().vocab_size; ++v) {
        ASSERT_NEAR(logits[b][t][v].item<float>(),
                    expected[static_cast<size_t>(t)][static_cast<size_t>(v)], 1e-4)
            << b << " " << t << " " << v;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BiasAndOps, GptLogits, testing::Combine(testing::Bool(), testing::Bool()));

TEST(Gpt, EvaluateIsTheSumOfTheLogProbabilities) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  Scramble(&gpt);
  const at::Tensor tokens = RandomTokens(gpt.config(), 3, 41);
  const double expected = AutogradGpt(gpt).Loss(tokens).item<double>();
  EXPECT_NEAR(gpt.Evaluate(tokens), expected, 1e-4 * expected);
  EXPECT_NEAR(gpt.ForwardBackward(tokens, {.loss_scale = 0.5}), expected, 1e-4 * expected);
}

TEST(Gpt, StartsAsGpt2Does) {
  GptConfig config;
  config.layers = 2;
  config.d_model = 96;
  Gpt gpt(config, at::kCPU, 3);
  FlatParameters& flat = gpt.flat();
  const auto std_of = [&](const char* name) {
    return flat.Value(flat.Find(name)).std().item<double>();
  };
  EXPECT_NEAR(std_of("h.0.attn.c_attn.weight"), 0.02, 0.001);
  EXPECT_NEAR(std_of("h.1.mlp.c_proj.weight"), 0.02 / 2, 0.0005);
  EXPECT_TRUE(flat.Value(flat.Find("ln_f.weight")).eq(1).all().item<bool>());
  EXPECT_TRUE(flat.Value(flat.Find("h.1.mlp.c_fc.bias")).eq(0).all().item<bool>());
  const double uniform = std::log(static_cast<double>(config.vocab_size));
  EXPECT_NEAR(gpt.Evaluate(RandomTokens(config, 4, 65)) / 256, uniform, 0.05 * uniform);
}

TEST(Gpt, InitialParametersAreAFunctionOfTheSeedAlone) {
  GptConfig config;
  config.layers = 1;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Gpt one(config, at::kCPU, 5);
  at::set_num_threads(2);
  const Gpt two(config, at::kCPU, 5);
  const Gpt other(config, at::kCPU, 6);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.flat().values().equal(two.flat().values()));
  EXPECT_FALSE(one.flat().values().equal(other.flat().values()));
}

TEST(Gpt, ExtendingTokenByTokenGivesTheLogitsOfTheWhole) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  Scramble(&gpt);
  const at::Tensor tokens = RandomTokens(gpt.config(), 1, 20);
  const at::Tensor whole = gpt.Logits(tokens)[0];
  KvCache cache;
  const at::Tensor first = gpt.Extend(tokens[0].narrow(0, 0, 7), &cache);
  EXPECT_TRUE(first.allclose(whole[6], 1e-4, 1e-4));
  for (int64_t t = 7; t < 20; ++t) {
    EXPECT_TRUE(gpt.Extend(tokens[0].narrow(0, t, 1), &cache).allclose(whole[t], 1e-4, 1e-4)) << t;
  }
  EXPECT_EQ(cache.length, 20);
}

TEST(GptConfig, CountsAsGpt2Small) {
  GptConfig config;
  config.layers = 12;
  config.heads = 12;
  config.d_model = 768;
  config.context = 1024;
  config.vocab_size = 50257;
  EXPECT_EQ(config.Parameters(), 124'439'808);
  EXPECT_EQ(config.Parameters() - config.ParametersWithoutEmbeddings(), 51281 * 768);
  const double n = 124'439'808 - 1024 * 768;
  EXPECT_DOUBLE_EQ(config.FlopsPerToken(), 6 * n + 12.0 * 12 * 768 * 1024);
  EXPECT_DOUBLE_EQ(config.FlopsPerToken(true), 6 * n + 6.0 * 12 * 768 * 1024);
}

TEST(GptConfig, CountsTheParametersThatThereAre) {
  for (const bool bias : {false, true}) {
    const Gpt gpt(OddConfig(bias), at::kCPU, 1);
    int64_t count = 0;
    for (const ParameterSlot& slot : gpt.flat().slots()) count += slot.count;
    EXPECT_EQ(count, gpt.config().Parameters());
  }
}

TEST(GptConfig, RefusesWhatIsNoModel) {
  GptConfig config;
  config.heads = 5;
  EXPECT_THAT(std::string(config.Validate().message()), testing::HasSubstr("5 heads"));
  config = {};
  config.layers = 0;
  EXPECT_THAT(std::string(config.Validate().message()), testing::HasSubstr("model.layers"));
  config = {};
  config.dropout = 1;
  EXPECT_FALSE(config.Validate().ok());
  config.dropout = NAN;
  EXPECT_FALSE(config.Validate().ok());
}

TEST(FlatParameters, SlotsAreAlignedViewsInOrder) {
  Gpt gpt(OddConfig(), at::kCPU, 1);
  int64_t end = 0;
  for (size_t i = 0; i < gpt.flat().slots().size(); ++i) {
    const ParameterSlot& slot = gpt.flat().slots()[i];
    EXPECT_EQ(slot.offset % kSlotAlignment, 0);
    EXPECT_GE(slot.offset, end);
    EXPECT_LT(slot.offset, end + kSlotAlignment);
    end = slot.offset + slot.count;
    EXPECT_EQ(gpt.flat().Value(static_cast<int64_t>(i)).data_ptr<float>(),
              gpt.flat().values().data_ptr<float>() + slot.offset);
    EXPECT_EQ(slot.decay, slot.shape.size() == 2);
  }
  EXPECT_EQ(gpt.flat().Find("no.such"), -1);
}

}  // namespace
}  // namespace longrun::model
