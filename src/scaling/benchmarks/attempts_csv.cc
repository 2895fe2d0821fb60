#include "scaling/benchmarks/attempts_csv.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/nearest.h"
#include "scaling/runs/csv.h"

namespace longrun::scaling {
namespace {

struct Numbers {
  int problem = 0, model = 0, compute = 0, attempts = 0, passes = 0;
};

absl::StatusOr<Numbers> FindColumns(const CsvReader& reader, const AttemptColumns& names) {
  Numbers numbers;
  LR_ASSIGN_OR_RETURN(numbers.problem, reader.Column(names.problem));
  LR_ASSIGN_OR_RETURN(numbers.model, reader.Column(names.model));
  LR_ASSIGN_OR_RETURN(numbers.compute, reader.Column(names.compute));
  LR_ASSIGN_OR_RETURN(numbers.attempts, reader.Column(names.attempts));
  LR_ASSIGN_OR_RETURN(numbers.passes, reader.Column(names.passes));
  return numbers;
}

absl::StatusOr<AttemptRow> ReadRow(const CsvReader& reader, const Numbers& columns) {
  for (const int column : {columns.problem, columns.model}) {
    if (reader.Empty(column)) return reader.Error(column, "a name is missing");
  }
  AttemptRow row{reader.Field(columns.problem), reader.Field(columns.model)};
  LR_ASSIGN_OR_RETURN(row.compute_flop, reader.Number(columns.compute));
  if (row.compute_flop <= 0) {
    return reader.Error(columns.compute,
                        absl::StrCat(row.compute_flop, " FLOP; it must be above 0"));
  }
  LR_ASSIGN_OR_RETURN(row.attempts, reader.Count(columns.attempts));
  LR_ASSIGN_OR_RETURN(row.passes, reader.Count(columns.passes));
  return row;
}

// A model to leave out that is not there is a slip of the user's.
absl::Status CheckLeftOut(const std::set<std::string>& without, const std::set<std::string>& seen,
                          const std::string& name) {
  for (const std::string& model : without) {
    if (seen.contains(model)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": there is no model \"", model, "\" to leave out",
        DidYouMean(model, {seen.begin(), seen.end()}), "; there are ", absl::StrJoin(seen, ", ")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AttemptTable> ReadAttempts(std::istream& in, const std::string& name,
                                          const AttemptColumns& columns,
                                          const std::set<std::string>& without, size_t most_rows) {
  CsvReader reader(in, name);
  LR_RETURN_IF_ERROR(reader.ReadHeader());
  LR_ASSIGN_OR_RETURN(const Numbers numbers, FindColumns(reader, columns));
  AttemptTable table;
  std::set<std::string> models;
  size_t rows = 0;
  while (true) {
    LR_ASSIGN_OR_RETURN(const bool more, reader.Next());
    if (!more) break;
    LR_ASSIGN_OR_RETURN(const AttemptRow row, ReadRow(reader, numbers));
    models.insert(row.model);
    if (without.contains(row.model)) continue;
    const absl::Status added = table.Add(row);
    if (!added.ok()) return reader.Error(numbers.passes, std::string(added.message()));
    if (++rows > most_rows) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": more than ", most_rows, " rows; take a sample of the problems"));
    }
  }
  LR_RETURN_IF_ERROR(CheckLeftOut(without, models, name));
  if (table.model_count() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": no rows after the header"));
  }
  return table;
}

}  // namespace longrun::scaling
