#include "scaling/benchmarks/downstream_csv.h"

#include "absl/strings/str_cat.h"
#include "scaling/runs/csv.h"

namespace longrun::scaling {
namespace {

constexpr size_t kMostRows = 1'000'000;

struct Numbers {
  int loss = 0;
  int result = 0;
  int compute = -1;
  std::vector<int> where;
};

absl::StatusOr<Numbers> FindColumns(const CsvReader& reader, const DownstreamColumns& names) {
  Numbers numbers;
  LR_ASSIGN_OR_RETURN(numbers.loss, reader.Column(names.loss));
  LR_ASSIGN_OR_RETURN(numbers.result,
                      reader.Column(names.error.empty() ? names.accuracy : names.error));
  if (!names.compute.empty()) {
    LR_ASSIGN_OR_RETURN(numbers.compute, reader.Column(names.compute));
  }
  for (const auto& [column, value] : names.where) {
    LR_ASSIGN_OR_RETURN(const int number, reader.Column(column));
    numbers.where.push_back(number);
  }
  return numbers;
}

bool Wanted(const CsvReader& reader, const Numbers& columns, const DownstreamColumns& names) {
  for (size_t i = 0; i < columns.where.size(); ++i) {
    if (reader.Field(columns.where[i]) != names.where[i].second) return false;
  }
  return true;
}

absl::Status ReadRow(const CsvReader& reader, const Numbers& columns, bool errors,
                     DownstreamData* data) {
  LR_ASSIGN_OR_RETURN(const double loss, reader.Number(columns.loss));
  if (loss <= 0) return reader.Error(columns.loss, absl::StrCat(loss, "; it must be above 0"));
  LR_ASSIGN_OR_RETURN(const double result, reader.Number(columns.result));
  if (result < 0 || result > 1) {
    return reader.Error(columns.result,
                        absl::StrCat(result, "; a share is wanted, 0 to 1 (not per cent)"));
  }
  data->points.push_back({loss, errors ? 1 - result : result});
  if (columns.compute < 0 || reader.Empty(columns.compute)) return absl::OkStatus();
  LR_ASSIGN_OR_RETURN(const double compute, reader.Number(columns.compute));
  if (compute <= 0) {
    return reader.Error(columns.compute, absl::StrCat(compute, " FLOP; it must be above 0"));
  }
  data->losses.push_back({compute, loss, 0});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DownstreamData> ReadDownstream(std::istream& in, const std::string& name,
                                              const DownstreamColumns& columns) {
  CsvReader reader(in, name);
  LR_RETURN_IF_ERROR(reader.ReadHeader());
  LR_ASSIGN_OR_RETURN(const Numbers numbers, FindColumns(reader, columns));
  DownstreamData data;
  while (true) {
    LR_ASSIGN_OR_RETURN(const bool more, reader.Next());
    if (!more) break;
    if (!Wanted(reader, numbers, columns)) continue;
    LR_RETURN_IF_ERROR(ReadRow(reader, numbers, !columns.error.empty(), &data));
    if (data.points.size() > kMostRows) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": more than ", kMostRows, " models; thin them out or use --where"));
    }
  }
  if (!data.points.empty()) return data;
  return absl::InvalidArgumentError(absl::StrCat(
      name, columns.where.empty() ? ": no rows after the header" : ": no row meets --where"));
}

}  // namespace longrun::scaling
