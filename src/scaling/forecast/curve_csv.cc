#include "scaling/forecast/curve_csv.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "scaling/runs/csv.h"

namespace longrun::scaling {
namespace {

// Tokens so far → loss.
using Losses = std::map<double, double>;

struct Numbers {
  int tokens = 0, loss = 0, run = -1, params = -1;
};

absl::StatusOr<Numbers> FindColumns(const CsvReader& reader, const CurveColumns& names,
                                    bool several) {
  Numbers numbers;
  LR_ASSIGN_OR_RETURN(numbers.tokens, reader.Column(names.tokens));
  LR_ASSIGN_OR_RETURN(numbers.loss, reader.Column(names.loss));
  if (!several) return numbers;
  LR_ASSIGN_OR_RETURN(numbers.run, reader.Column(names.run));
  LR_ASSIGN_OR_RETURN(numbers.params, reader.Column(names.params));
  return numbers;
}

absl::StatusOr<double> Positive(const CsvReader& reader, int column) {
  LR_ASSIGN_OR_RETURN(const double value, reader.Number(column));
  if (value > 0) return value;
  return reader.Error(column, absl::StrCat(value, "; it must be above 0"));
}

absl::StatusOr<double> TokensOf(const CsvReader& reader, const Numbers& numbers,
                                const CurveColumns& columns) {
  LR_ASSIGN_OR_RETURN(const double value, Positive(reader, numbers.tokens));
  return columns.tokens_per_step > 0 ? value * columns.tokens_per_step : value;
}

Curve CurveOf(const Losses& losses) {
  Curve curve;
  for (const auto& [tokens, loss] : losses) curve.push_back({tokens, loss});
  return curve;
}

struct Runs {
  std::map<std::string, Losses> losses;
  std::map<std::string, double> params;
};

absl::Status ReadRow(const CsvReader& reader, const Numbers& numbers, const CurveColumns& columns,
                     Runs* runs) {
  LR_ASSIGN_OR_RETURN(const double tokens, TokensOf(reader, numbers, columns));
  LR_ASSIGN_OR_RETURN(const double loss, Positive(reader, numbers.loss));
  const std::string run = numbers.run < 0 ? std::string() : reader.Field(numbers.run);
  runs->losses[run][tokens] = loss;
  if (numbers.params < 0) return absl::OkStatus();
  LR_ASSIGN_OR_RETURN(const double params, Positive(reader, numbers.params));
  const auto [known, added] = runs->params.try_emplace(run, params);
  if (added || known->second == params) return absl::OkStatus();
  return reader.Error(numbers.params,
                      absl::StrCat(params, ", where run ", run, " had ", known->second, " before"));
}

absl::StatusOr<Runs> ReadRows(std::istream& in, const std::string& name,
                              const CurveColumns& columns, bool several) {
  CsvReader reader(in, name);
  LR_RETURN_IF_ERROR(reader.ReadHeader());
  LR_ASSIGN_OR_RETURN(const Numbers numbers, FindColumns(reader, columns, several));
  Runs runs;
  size_t rows = 0;
  while (true) {
    LR_ASSIGN_OR_RETURN(const bool more, reader.Next());
    if (!more) break;
    LR_RETURN_IF_ERROR(ReadRow(reader, numbers, columns, &runs));
    if (++rows > kMostCurvePoints) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": more than ", kMostCurvePoints, " rows; thin the curve out"));
    }
  }
  if (rows > 0) return runs;
  return absl::InvalidArgumentError(absl::StrCat(name, ": no rows after the header"));
}

}  // namespace

absl::StatusOr<Curve> ReadCurve(std::istream& in, const std::string& name,
                                const CurveColumns& columns) {
  LR_ASSIGN_OR_RETURN(const Runs runs, ReadRows(in, name, columns, false));
  return CurveOf(runs.losses.begin()->second);
}

absl::StatusOr<std::vector<RunCurve>> ReadRunCurves(std::istream& in, const std::string& name,
                                                    const CurveColumns& columns) {
  LR_ASSIGN_OR_RETURN(const Runs runs, ReadRows(in, name, columns, true));
  std::vector<RunCurve> curves;
  for (const auto& [run, losses] : runs.losses) {
    RunCurve& curve = curves.emplace_back();
    curve.curve = CurveOf(losses);
    curve.run.params = runs.params.at(run);
    curve.run.tokens = curve.curve.back().tokens;
    curve.run.compute = kFlopPerParamToken * curve.run.params * curve.run.tokens;
  }
  return curves;
}

}  // namespace longrun::scaling
