// How often models solve problems, from attempts: −log of each pass rate without the bias that
// comes from attempts being few, and its mean over problems.
//
// −E[log p] over the problems that every model solves at least once is the quantity that the GPT-4
// report (arXiv:2303.08774, section 3.2) found to follow a power law of the compute. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace longrun::scaling {

// An estimate of ℓ = −log p from x passes in n independent attempts, given that 1 ≤ x ≤ n.
//
// Σ_{k=x+1}^{n} 1/k. The textbook −log(x/n) is too high by about (1−p)/(2np). This sum's bias,
// seen over all x ≥ 0, is −Σ_{k>n} (1−p)^k/k, which falls as e^(−np): C(n−x,k)/C(n,k) estimates
// (1−p)^k without bias, and −log p = Σ (1−p)^k/k. What then remains comes from leaving out x = 0;
// RemainingBias says how much that is.
struct LogRate {
  double neg_log = 0;   // ℓ
  double variance = 0;  // of ℓ by the attempts alone
};
LogRate EstimateLogRate(int64_t attempts, int64_t passes);

// E[ℓ estimate | at least one pass] + log p: exact, 0 < p ≤ 1. −0.04 at np = 4, −0.25 at np = 2.
double RemainingBias(int64_t attempts, double rate);

// A row of the input: one problem, one model.
struct AttemptRow {
  std::string problem;
  std::string model;
  double compute_flop = 0;  // of the model's training
  int64_t attempts = 0;
  int64_t passes = 0;
};

struct AttemptCell {
  int64_t attempts = 0;  // 0: the model never tried the problem
  int64_t passes = 0;
};

// Problems by models. Filled row by row, so a file need not be held whole.
class AttemptTable {
 public:
  // InvalidArgument says what is wrong with the row (the caller knows its file and line): passes
  // beyond attempts, a pair seen before, a model whose compute differs from earlier rows.
  absl::Status Add(const AttemptRow& row);

  struct Model {
    std::string name;
    double compute_flop = 0;
  };
  size_t problem_count() const { return problems_.size(); }
  size_t model_count() const { return models_.size(); }
  const std::string& problem(size_t i) const { return problems_[i]; }
  const Model& model(size_t m) const { return models_[m]; }
  AttemptCell cell(size_t problem, size_t model) const;
  // Models by their compute, the smallest first.
  std::vector<size_t> ModelsByCompute() const;

 private:
  std::vector<std::string> problems_;
  std::vector<Model> models_;
  std::map<std::string, size_t, std::less<>> problem_numbers_;
  std::map<std::string, size_t, std::less<>> model_numbers_;
  std::vector<std::vector<AttemptCell>> cells_;  // [problem][model], rows as long as needed
};

// A problem that does not count: some model never solved it, or never tried it.
struct CensoredProblem {
  std::string problem;
  std::vector<std::string> unsolved_by;  // attempts, no pass
  std::vector<std::string> untried_by;   // no attempts
};

// One model over problems that all models solved.
struct ModelRates {
  std::string model;
  double compute_flop = 0;
  double pass_rate = 0;       // mean of passes/attempts
  double neg_log = 0;         // −mean log p
  double se_attempts = 0;     // its standard error, the problems being these
  double se_problems = 0;     // the same, had the problems been drawn from many like them
  double remaining_bias = 0;  // about what −mean log p is still too low by, with p = passes/n
};
// Models by compute. Every model has solved each of `problems`, of which there is one at least.
std::vector<ModelRates> RatesOver(const AttemptTable& table, const std::vector<size_t>& problems);

// One model over all problems that it tried.
struct ModelTotals {
  std::string model;
  double compute_flop = 0;
  int64_t problems = 0;
  int64_t attempts = 0;
  int64_t zero_pass = 0;  // problems tried and never solved
  double pass_rate = 0;   // mean of passes/attempts
};

struct PassRates {
  std::vector<ModelTotals> totals;  // by compute
  std::vector<size_t> counted;      // numbers of the problems that every model solved
  std::vector<CensoredProblem> censored;
};

PassRates SummarizePassRates(const AttemptTable& table);

// The largest rate that `attempts` without a pass leave open at 95 % confidence.
double ZeroPassUpperRate(int64_t attempts);

}  // namespace longrun::scaling
