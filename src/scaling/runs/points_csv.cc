#include "scaling/runs/points_csv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "scaling/runs/csv.h"

namespace longrun::scaling {
namespace {

// The names that people give such columns, in letters and digits alone.
const std::vector<std::string>& UsualNames(const std::string& what) {
  static const std::map<std::string, std::vector<std::string>> names{
      {"params",
       {"n", "params", "parameters", "nparams", "numparams", "numparameters", "modelsize",
        "modelparams", "paramcount"}},
      {"tokens",
       {"d", "tokens", "ntokens", "numtokens", "trainingtokens", "traintokens", "datasetsize"}},
      {"compute",
       {"c", "compute", "flop", "flops", "trainingflop", "trainingflops", "trainflops",
        "trainingcompute", "c6nd"}},
      {"experts", {"experts", "nexperts", "numexperts", "expertcount"}},
      {"loss", {"l", "loss", "valloss", "validationloss", "finalloss", "testloss", "evalloss"}},
      {"run", {"run", "runid", "runname"}}};
  return names.at(what);
}

std::string LettersAndDigits(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      out.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

std::optional<double> UnitFactor(const std::string& unit) {
  static const std::map<std::string, double> units{{"k", 1e3},
                                                   {"K", 1e3},
                                                   {"M", 1e6},
                                                   {"B", 1e9},
                                                   {"G", 1e9},
                                                   {"T", 1e12},
                                                   {"P", 1e15},
                                                   {"E", 1e18},
                                                   {"FLOP", 1},
                                                   {"PF-days", 8.64e19},
                                                   {"PF-day", 8.64e19},
                                                   {"nats", 1},
                                                   {"bits", std::numbers::ln2}};
  const auto found = units.find(unit);
  if (found != units.end()) return found->second;
  double factor = 0;
  if (absl::SimpleAtod(unit, &factor) && std::isfinite(factor) && factor > 0) return factor;
  return std::nullopt;
}

struct Column {
  int index = -1;  // -1: none
  double factor = 1;
};

// What is asked for by name, with or without a unit.
absl::StatusOr<Column> NamedColumn(const CsvReader& reader, const std::string& asked) {
  const auto& columns = reader.columns();
  const auto whole = std::find(columns.begin(), columns.end(), asked);
  if (whole != columns.end()) return Column{static_cast<int>(whole - columns.begin()), 1};
  const size_t colon = asked.rfind(':');
  if (colon == std::string::npos) {
    LR_ASSIGN_OR_RETURN(const int index, reader.Column(asked));
    return Column{index, 1};
  }
  LR_ASSIGN_OR_RETURN(const int index, reader.Column(asked.substr(0, colon)));
  const std::string unit = asked.substr(colon + 1);
  const std::optional<double> factor = UnitFactor(unit);
  if (factor) return Column{index, *factor};
  return absl::InvalidArgumentError(
      absl::StrCat("\"", unit,
                   "\" is no unit that is known; k, M, B, T, P, E, FLOP, PF-days, "
                   "nats, bits or a number is right"));
}

absl::StatusOr<Column> FindColumn(const CsvReader& reader, const std::string& what,
                                  const std::string& asked) {
  if (!asked.empty()) return NamedColumn(reader, asked);
  std::vector<std::string> found;
  Column column;
  for (size_t i = 0; i < reader.columns().size(); ++i) {
    const std::vector<std::string>& names = UsualNames(what);
    const std::string plain = LettersAndDigits(reader.columns()[i]);
    if (std::find(names.begin(), names.end(), plain) == names.end()) continue;
    found.push_back(reader.columns()[i]);
    column.index = static_cast<int>(i);
  }
  if (found.size() <= 1) return column;
  return absl::InvalidArgumentError(absl::StrCat(reader.name(), ":1: which column is the ", what,
                                                 "? ", absl::StrJoin(found, ", "),
                                                 " may be; say --", what, " \"", found[0], "\""));
}

// Rows to take: a column and the values that it may have.
struct Filter {
  int column = 0;
  std::set<std::string> values;
};

absl::StatusOr<std::vector<Filter>> Filters(const CsvReader& reader,
                                            const std::vector<std::string>& where) {
  std::vector<Filter> filters;
  for (const std::string& text : where) {
    // The last = that leaves a column's name: names and values may contain one.
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--where \"", text, "\": COLUMN=VALUE is right"));
    }
    Filter& filter = filters.emplace_back();
    LR_ASSIGN_OR_RETURN(filter.column, reader.Column(text.substr(0, equals)));
    const std::vector<std::string> values = absl::StrSplit(text.substr(equals + 1), '|');
    filter.values.insert(values.begin(), values.end());
  }
  return filters;
}

bool Wanted(const CsvReader& reader, const std::vector<Filter>& filters) {
  for (const Filter& filter : filters) {
    const std::string value(absl::StripAsciiWhitespace(reader.Field(filter.column)));
    if (!filter.values.contains(value)) return false;
  }
  return true;
}

absl::StatusOr<double> Positive(const CsvReader& reader, const Column& column) {
  LR_ASSIGN_OR_RETURN(const double value, reader.Number(column.index));
  const double scaled = value * column.factor;
  if (scaled > 0 && std::isfinite(scaled)) return scaled;
  return reader.Error(column.index, absl::StrCat(value, " where a number above 0 is needed"));
}

struct Columns {
  std::array<Column, 4> sizes;  // in the order of kQuantities
  Column loss;
  Column run;
};

absl::StatusOr<Columns> FindColumns(const CsvReader& reader, const PointColumns& asked,
                                    PointsTable& table) {
  const std::array<const std::string*, 4> names{&asked.params, &asked.tokens, &asked.compute,
                                                &asked.experts};
  Columns out;
  const auto find = [&](const std::string& what, const std::string& name,
                        Column& column) -> absl::Status {
    LR_ASSIGN_OR_RETURN(column, FindColumn(reader, what, name));
    if (name.empty() && column.index >= 0) {
      table.read_as.push_back(
          absl::StrCat(what, " from column \"", reader.columns()[column.index], "\""));
    }
    return absl::OkStatus();
  };
  const bool any_named = std::any_of(names.begin(), names.end(),
                                     [](const std::string* name) { return !name->empty(); });
  bool any = false;
  for (size_t i = 0; i < kQuantities.size(); ++i) {
    // Who names one size names them all: a guess beside it would be a surprise.
    if (any_named && names[i]->empty()) continue;
    LR_RETURN_IF_ERROR(find(std::string(QuantityName(kQuantities[i])), *names[i], out.sizes[i]));
    any = any || out.sizes[i].index >= 0;
  }
  LR_RETURN_IF_ERROR(find("loss", asked.loss, out.loss));
  LR_RETURN_IF_ERROR(find("run", asked.run, out.run));
  const std::string there = absl::StrCat("; there are: ", absl::StrJoin(reader.columns(), ", "));
  if (!any) {
    return absl::InvalidArgumentError(
        absl::StrCat(reader.name(),
                     ":1: no column has a usual name for a size; say --params, "
                     "--tokens or --compute COLUMN",
                     there));
  }
  if (out.loss.index < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        reader.name(), ":1: no column has a usual name for the loss; say --loss COLUMN", there));
  }
  return out;
}

absl::Status AddRow(const CsvReader& reader, const Columns& columns,
                    std::map<std::string, int>& runs, PointsTable& table) {
  if (table.points.size() >= kMostPoints) {
    return absl::InvalidArgumentError(absl::StrCat(
        reader.name(), ":", reader.line(), ": more than ", kMostPoints,
        " points; keep a row or a few a run (its last losses), or choose rows with --where"));
  }
  Point point;
  point.line = static_cast<int>(reader.line());
  for (size_t i = 0; i < kQuantities.size(); ++i) {
    if (columns.sizes[i].index < 0) continue;
    LR_ASSIGN_OR_RETURN(const double value, Positive(reader, columns.sizes[i]));
    point.Set(kQuantities[i], value);
  }
  LR_ASSIGN_OR_RETURN(point.loss, Positive(reader, columns.loss));
  if (columns.run.index >= 0) {
    const int next = static_cast<int>(runs.size());
    point.run = runs.try_emplace(reader.Field(columns.run.index), next).first->second;
  } else {
    point.run = static_cast<int>(table.points.size());
  }
  table.points.push_back(point);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PointsTable> ReadPoints(std::istream& in, const std::string& name,
                                       const PointColumns& asked) {
  CsvReader reader(in, name);
  LR_RETURN_IF_ERROR(reader.ReadHeader());
  PointsTable table;
  LR_ASSIGN_OR_RETURN(const Columns columns, FindColumns(reader, asked, table));
  LR_ASSIGN_OR_RETURN(const std::vector<Filter> filters, Filters(reader, asked.where));
  std::map<std::string, int> runs;
  while (true) {
    LR_ASSIGN_OR_RETURN(const bool more, reader.Next());
    if (!more) break;
    ++table.rows;
    if (!Wanted(reader, filters)) {
      ++table.other_rows;
      continue;
    }
    LR_RETURN_IF_ERROR(AddRow(reader, columns, runs, table));
  }
  if (table.points.empty()) {
    return absl::InvalidArgumentError(
        table.rows == 0
            ? absl::StrCat(name, ": there is a header and no row")
            : absl::StrCat(name, ": none of the ", table.rows, " rows has what --where asks for"));
  }
  table.has_runs = columns.run.index >= 0 && runs.size() < table.points.size();
  table.warnings = SuspectUnits(table.points);
  FillByCompute(table.points);
  return table;
}

}  // namespace longrun::scaling
