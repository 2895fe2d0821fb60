#include "scaling/benchmarks/pass_rate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "scaling/distributions.h"

namespace longrun::scaling {
namespace {

// Σ_{k>n} q^k/k with q = 1 − p.
double TailOfLogSeries(int64_t n, double p) {
  if (p < 1e-3 && n > 1000) return ExponentialIntegral((static_cast<double>(n) + 0.5) * p);
  if (p < 1e-3) {  // np < 1: the whole series, −log p, less its beginning
    double rest = -std::log(p), power = 1;
    for (int64_t k = 1; k <= n; ++k) rest -= (power *= 1 - p) / static_cast<double>(k);
    return rest;
  }
  double sum = 0;
  double power = std::exp(static_cast<double>(n) * std::log1p(-p));
  for (int64_t k = n + 1;; ++k) {
    power *= 1 - p;
    const double term = power / static_cast<double>(k);
    sum += term;
    if (term <= 1e-16 * sum) return sum;
  }
}

double Harmonic(int64_t n) { return Digamma(static_cast<double>(n) + 1); }

}  // namespace

LogRate EstimateLogRate(int64_t attempts, int64_t passes) {
  LR_CHECK_LE(1, passes);
  LR_CHECK_LE(passes, attempts);
  const double n = static_cast<double>(attempts);
  const double x = static_cast<double>(passes);
  return {Digamma(n + 1) - Digamma(x + 1), Trigamma(x + 1) - Trigamma(n + 1)};
}

double RemainingBias(int64_t attempts, double rate) {
  LR_CHECK(attempts >= 1 && rate > 0 && rate <= 1);
  const double n = static_cast<double>(attempts);
  if (rate == 1 || n * rate > 40) return 0;  // e^(−40)
  const double none = std::exp(n * std::log1p(-rate));
  const double harmonic = Harmonic(attempts) - Digamma(1);
  return -(TailOfLogSeries(attempts, rate) + none * (harmonic + std::log(rate))) / (1 - none);
}

double ZeroPassUpperRate(int64_t attempts) {
  LR_CHECK_LE(1, attempts);
  return -std::expm1(std::log(0.05) / static_cast<double>(attempts));
}

absl::Status AttemptTable::Add(const AttemptRow& row) {
  if (row.attempts < 0 || row.passes < 0 || row.passes > row.attempts) {
    return absl::InvalidArgumentError(absl::StrCat(row.passes, " passes in ", row.attempts,
                                                   " attempts; passes must be 0 to attempts"));
  }
  const auto [model, new_model] = model_numbers_.try_emplace(row.model, models_.size());
  if (new_model) {
    models_.push_back({row.model, row.compute_flop});
  } else if (models_[model->second].compute_flop != row.compute_flop) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "model %s has %.6g FLOP here and %.6g in an earlier row; a model has one compute",
        row.model, row.compute_flop, models_[model->second].compute_flop));
  }
  const auto [problem, new_problem] = problem_numbers_.try_emplace(row.problem, problems_.size());
  if (new_problem) {
    problems_.push_back(row.problem);
    cells_.emplace_back();
  }
  std::vector<AttemptCell>& cells = cells_[problem->second];
  if (cells.size() <= model->second) cells.resize(model->second + 1);
  if (cells[model->second].attempts > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("problem ", row.problem, " and model ", row.model,
                     " stand in an earlier row; add attempts and passes up into one row"));
  }
  cells[model->second] = {row.attempts, row.passes};
  return absl::OkStatus();
}

AttemptCell AttemptTable::cell(size_t problem, size_t model) const {
  const std::vector<AttemptCell>& cells = cells_[problem];
  return model < cells.size() ? cells[model] : AttemptCell{};
}

std::vector<size_t> AttemptTable::ModelsByCompute() const {
  std::vector<size_t> order(models_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [this](size_t a, size_t b) {
    return models_[a].compute_flop < models_[b].compute_flop;
  });
  return order;
}

namespace {

void SplitProblems(const AttemptTable& table, PassRates* rates) {
  for (size_t i = 0; i < table.problem_count(); ++i) {
    CensoredProblem censored{table.problem(i), {}, {}};
    for (size_t m = 0; m < table.model_count(); ++m) {
      const AttemptCell cell = table.cell(i, m);
      if (cell.attempts == 0) {
        censored.untried_by.push_back(table.model(m).name);
      } else if (cell.passes == 0) {
        censored.unsolved_by.push_back(table.model(m).name);
      }
    }
    if (censored.unsolved_by.empty() && censored.untried_by.empty()) {
      rates->counted.push_back(i);
    } else {
      rates->censored.push_back(std::move(censored));
    }
  }
}

ModelTotals TotalsOf(const AttemptTable& table, size_t model) {
  ModelTotals totals{table.model(model).name, table.model(model).compute_flop};
  for (size_t i = 0; i < table.problem_count(); ++i) {
    const AttemptCell cell = table.cell(i, model);
    if (cell.attempts == 0) continue;
    ++totals.problems;
    totals.attempts += cell.attempts;
    totals.zero_pass += cell.passes == 0;
    totals.pass_rate += static_cast<double>(cell.passes) / static_cast<double>(cell.attempts);
  }
  if (totals.problems > 0) totals.pass_rate /= static_cast<double>(totals.problems);
  return totals;
}

ModelRates RatesOf(const AttemptTable& table, const std::vector<size_t>& problems, size_t model) {
  ModelRates rates{table.model(model).name, table.model(model).compute_flop};
  double variance = 0, squares = 0;
  for (const size_t i : problems) {
    const AttemptCell cell = table.cell(i, model);
    const double rate = static_cast<double>(cell.passes) / static_cast<double>(cell.attempts);
    const LogRate log_rate = EstimateLogRate(cell.attempts, cell.passes);
    rates.neg_log += log_rate.neg_log;
    squares += log_rate.neg_log * log_rate.neg_log;
    variance += log_rate.variance;
    rates.pass_rate += rate;
    rates.remaining_bias -= RemainingBias(cell.attempts, rate);
  }
  const double count = static_cast<double>(problems.size());
  rates.neg_log /= count;
  rates.pass_rate /= count;
  rates.remaining_bias /= count;
  rates.se_attempts = std::sqrt(variance) / count;
  const double spread = std::max(0.0, squares / count - rates.neg_log * rates.neg_log);
  rates.se_problems = count > 1 ? std::sqrt(spread / (count - 1)) : 0;
  return rates;
}

}  // namespace

std::vector<ModelRates> RatesOver(const AttemptTable& table, const std::vector<size_t>& problems) {
  LR_CHECK(!problems.empty());
  std::vector<ModelRates> rates;
  for (const size_t m : table.ModelsByCompute()) rates.push_back(RatesOf(table, problems, m));
  return rates;
}

PassRates SummarizePassRates(const AttemptTable& table) {
  PassRates rates;
  SplitProblems(table, &rates);
  for (const size_t m : table.ModelsByCompute()) rates.totals.push_back(TotalsOf(table, m));
  return rates;
}

}  // namespace longrun::scaling
