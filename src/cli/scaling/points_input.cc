#include "cli/scaling/points_input.h"

#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "scaling/runs/content_hash.h"

namespace longrun::cli {
namespace {

// As they would be typed again.
std::vector<std::string> OptionsOf(const PointFlags& flags) {
  const scaling::PointColumns& columns = flags.columns;
  const std::pair<const char*, const std::string*> named[] = {
      {"--params", &columns.params},   {"--tokens", &columns.tokens},
      {"--compute", &columns.compute}, {"--experts", &columns.experts},
      {"--loss", &columns.loss},       {"--run", &columns.run}};
  std::vector<std::string> out;
  for (const auto& [flag, value] : named) {
    if (!value->empty()) out.insert(out.end(), {flag, *value});
  }
  for (const std::string& where : columns.where) out.insert(out.end(), {"--where", where});
  const scaling::DropRules& drop = flags.drop;
  if (drop.highest > 0) {
    out.insert(out.end(), {"--drop-highest", absl::StrCat(drop.highest)});
  }
  if (drop.min_tokens_per_param > 0) {
    out.insert(out.end(), {"--min-tokens-per-param", absl::StrCat(drop.min_tokens_per_param)});
  }
  if (drop.max_compute > 0) {
    out.insert(out.end(), {"--max-compute", absl::StrCat(drop.max_compute)});
  }
  return out;
}

}  // namespace

void AddPointFlags(CLI::App* app, PointFlags& flags) {
  app->add_option("DATA", flags.file, "The runs (CSV); - reads standard input")
      ->required()
      ->type_name("FILE");
  const std::tuple<const char*, std::string*, const char*> columns[] = {
      {"--params", &flags.columns.params, "Column of the parameters N"},
      {"--tokens", &flags.columns.tokens, "Column of the tokens D"},
      {"--compute", &flags.columns.compute, "Column of the compute C (FLOP)"},
      {"--experts", &flags.columns.experts, "Column of the experts of routed models"},
      {"--loss", &flags.columns.loss, "Column of the loss"},
      {"--run", &flags.columns.run, "Column that says which run a row is of"}};
  for (const auto& [flag, column, what] : columns) {
    app->add_option(flag, *column, what)->type_name("COLUMN[:UNIT]");
  }
  app->add_option("--where", flags.columns.where, "Only rows that have it; may be repeated")
      ->type_name("COLUMN=VALUE[|VALUE]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app->add_option("--drop-highest", flags.drop.highest, "Leave out the rows of highest loss")
      ->type_name("ROWS")
      ->check(CLI::Range(0, 1'000'000));
  app->add_option("--min-tokens-per-param", flags.drop.min_tokens_per_param,
                  "Leave out rows with fewer tokens per parameter")
      ->type_name("RATIO")
      ->check(CLI::NonNegativeNumber);
  app->add_option("--max-compute", flags.drop.max_compute, "Leave out rows with more compute")
      ->type_name("FLOP")
      ->check(CLI::NonNegativeNumber);
}

absl::StatusOr<PointsInput> LoadPoints(const PointFlags& flags) {
  std::ifstream file;
  if (flags.file != "-") {
    file.open(flags.file, std::ios::binary);
    // A folder opens but cannot be read.
    if (!file || file.peek() == std::ifstream::traits_type::eof()) {
      const bool opened = file.is_open() && !file.bad();
      return absl::InvalidArgumentError(
          absl::StrCat(flags.file, opened ? ": the file is empty" : ": cannot be read"));
    }
  }
  scaling::HashingBuffer buffer(flags.file == "-" ? std::cin.rdbuf() : file.rdbuf());
  std::istream in(&buffer);
  LR_ASSIGN_OR_RETURN(scaling::PointsTable table,
                      scaling::ReadPoints(in, flags.file, flags.columns));
  PointsInput input;
  input.all = table.points;
  input.points = std::move(table.points);
  LR_ASSIGN_OR_RETURN(input.dropped, scaling::Drop(flags.drop, input.points));
  input.source = {flags.file, buffer.Hash(), table.rows, table.other_rows, OptionsOf(flags)};
  input.read_as = std::move(table.read_as);
  input.warnings = std::move(table.warnings);
  input.has_runs = table.has_runs;
  return input;
}

}  // namespace longrun::cli
