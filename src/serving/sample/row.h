// Passes over one row of logits, each as fast as memory gives them: the largest, all weights of a
// softmax, the k largest. Pure functions of any thread, with the same bits on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace longrun::serving {

// The largest of a row, the first of equals.
struct Peak {
  model::TokenId token = 0;
  float value = 0;
  bool valid = false;  // all are numbers or -inf, and one is a number
};
Peak FindPeak(std::span<const float> row);

inline constexpr int64_t kRowBlock = 512;

// weights[i] = exp((row[i] - peak) · scale), scale > 0, to 2 units in the last place; 0 for -inf.
// Returns their sum; `block_sums` those of each kRowBlock of them, in order. Without `weights` the
// sums alone are made, which are the same.
double Weigh(std::span<const float> row, float peak, float scale, std::span<float> weights,
             std::vector<double>* block_sums);

// The sum of exp(row[i] - peak).
double SumOfExp(std::span<const float> row, float peak);

// Appends the tokens whose value is at least `least`, in their order.
void AppendAtLeast(std::span<const float> row, float least, std::vector<model::TokenId>* tokens);

// The sum of the weights (none is negative) that are at least `least` > 0, and their number;
// `block_sums` those of each kRowBlock of them.
struct Mass {
  double sum = 0;
  int64_t count = 0;
};
Mass MassAtLeast(std::span<const float> weights, float least, std::vector<double>* block_sums);

// Appends those whose weight is at least `least` > 0 and less than `below`, in their order.
void AppendBetween(std::span<const float> weights, float least, float below,
                   std::vector<model::TokenId>* tokens);

// The k largest, equals by the smaller token first; in the order of tokens, not of size.
std::vector<model::TokenId> Largest(std::span<const float> row, int64_t k);

}  // namespace longrun::serving
