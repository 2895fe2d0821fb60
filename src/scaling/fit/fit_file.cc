#include "scaling/fit/fit_file.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace longrun::scaling {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Objective::Kind;

constexpr char kWhat[] = "longrun fit";
constexpr int kVersion = 1;

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kHuber:
      return "huber";
    case Kind::kHuberDensity:
      return "huber-density";
    case Kind::kSquares:
      break;
  }
  return "squares";
}

const char* NameOf(BootstrapOptions::Kind kind) {
  switch (kind) {
    case BootstrapOptions::Kind::kCases:
      return "cases";
    case BootstrapOptions::Kind::kClusters:
      return "runs";
    case BootstrapOptions::Kind::kResiduals:
      break;
  }
  return "residuals";
}

// JSON knows no NaN: what is unknown is null.
Json NumberJson(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json PointJson(const Point& p) {
  return Json::array({NumberJson(p.params), NumberJson(p.tokens), NumberJson(p.compute),
                      NumberJson(p.experts), NumberJson(p.loss), p.run, p.line});
}

Json VectorJson(const Vector& v) {
  Json out = Json::array();
  for (const double value : v) out.push_back(NumberJson(value));
  return out;
}

Json SourceJson(const FitRecord& record) {
  Json dropped = Json::array();
  for (const Dropped& d : record.dropped) {
    dropped.push_back({{"point", PointJson(d.point)}, {"why", d.why}});
  }
  const DataSource& source = record.source;
  return {{"file", source.file},       {"hash", source.hash},
          {"rows", source.rows},       {"other_rows", source.other_rows},
          {"options", source.options}, {"dropped", dropped}};
}

// Reads fields and remembers the first that was not as it should be.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  const Json& At(const Json& json, const std::string& key) {
    static const Json nothing;
    if (json.is_object() && json.contains(key)) return json.at(key);
    Fail(absl::StrCat("\"", key, "\" is missing"));
    return nothing;
  }
  double Number(const Json& json, const std::string& key) { return Plain(At(json, key), key); }
  double Plain(const Json& json, const std::string& key) {
    if (json.is_number()) return json.get<double>();
    Fail(absl::StrCat("\"", key, "\" is no number"));
    return 0;
  }
  int64_t Whole(const Json& json, const std::string& key) {
    const Json& value = At(json, key);
    if (value.is_number_integer()) return value.get<int64_t>();
    Fail(absl::StrCat("\"", key, "\" is no whole number"));
    return 0;
  }
  std::string Text(const Json& json, const std::string& key) {
    const Json& value = At(json, key);
    if (value.is_string()) return value.get<std::string>();
    Fail(absl::StrCat("\"", key, "\" is no text"));
    return "";
  }
  const Json& List(const Json& json, const std::string& key) {
    static const Json empty = Json::array();
    const Json& value = At(json, key);
    if (value.is_array()) return value;
    Fail(absl::StrCat("\"", key, "\" is no list"));
    return empty;
  }
  std::vector<std::string> Texts(const Json& json, const std::string& key) {
    std::vector<std::string> out;
    for (const Json& item : List(json, key)) {
      if (item.is_string()) {
        out.push_back(item.get<std::string>());
      } else {
        Fail(absl::StrCat("\"", key, "\" has something that is no text"));
      }
    }
    return out;
  }
  std::vector<double> Numbers(const Json& json, const std::string& key, size_t count) {
    std::vector<double> out;
    for (const Json& item : List(json, key)) out.push_back(Plain(item, key));
    if (out.size() != count) {
      Fail(absl::StrCat("\"", key, "\" has ", out.size(), " numbers; ", count, " are right"));
      out.resize(count);
    }
    return out;
  }

  void Fail(const std::string& what) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat(name_, ": ", what, "; was it written by longrun fit --out?"));
    }
  }
  const absl::Status& status() const { return status_; }

 private:
  std::string name_;
  absl::Status status_;
};

Point ReadPoint(Reader& reader, const Json& json) {
  Point p;
  if (!json.is_array() || json.size() != 7) {
    reader.Fail("a point is no list of 7 numbers");
    return p;
  }
  double* const fields[] = {&p.params, &p.tokens, &p.compute, &p.experts, &p.loss};
  for (size_t i = 0; i < 5; ++i) {
    if (!json[i].is_null()) *fields[i] = reader.Plain(json[i], "points");
  }
  p.run = static_cast<int>(reader.Plain(json[5], "points"));
  p.line = static_cast<int>(reader.Plain(json[6], "points"));
  return p;
}

void ReadObjective(Reader& reader, const Json& json, Fit& fit) {
  const std::string kind = reader.Text(json, "kind");
  if (kind == "huber-density") {
    fit.objective.kind = Kind::kHuberDensity;
  } else if (kind == "squares") {
    fit.objective.kind = Kind::kSquares;
  } else if (kind != "huber") {
    reader.Fail(absl::StrCat("there is no objective \"", kind, "\""));
  }
  fit.objective.delta = reader.Number(json, "delta");
  fit.objective_sum = reader.Number(json, "sum");
  fit.scale = reader.Number(json, "scale");
}

Vector ToVector(const std::vector<double>& values) {
  return Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<int64_t>(values.size()));
}

void ReadFit(Reader& reader, const Json& json, Fit& fit) {
  const size_t size = fit.law->parameters().size();
  ReadObjective(reader, reader.At(json, "objective"), fit);
  const Json& parameters = reader.At(json, "parameters");
  fit.parameters = Vector::Zero(static_cast<int>(size));
  for (size_t i = 0; i < size; ++i) {
    fit.parameters[static_cast<int>(i)] = reader.Number(parameters, fit.law->parameters()[i].name);
  }
  fit.residuals = reader.Numbers(json, "residuals", static_cast<size_t>(fit.points));
  fit.residual_sd = reader.Number(json, "residual_sd");
  fit.residual_rms = reader.Number(json, "residual_rms");
  fit.starts = static_cast<int>(reader.Whole(json, "starts"));
  fit.starts_best = static_cast<int>(reader.Whole(json, "starts_best"));
  fit.lowest = reader.Numbers(json, "lowest", fit.law->reads().size());
  fit.highest = reader.Numbers(json, "highest", fit.law->reads().size());
  fit.warnings = reader.Texts(json, "warnings");
  for (const Json& refusal : reader.List(json, "refusals")) {
    fit.refusals.push_back({reader.Text(refusal, "reason"), reader.Text(refusal, "measure_next")});
  }
  const Json& known = reader.At(json, "identifiability");
  fit.identifiability.condition = reader.Number(known, "condition");
  fit.identifiability.standard_errors = ToVector(reader.Numbers(known, "standard_errors", size));
  fit.identifiability.relative_errors = ToVector(reader.Numbers(known, "relative_errors", size));
  fit.identifiability.weakest = reader.Texts(known, "weakest");
}

void ReadBootstrap(Reader& reader, const Json& json, size_t size, Bootstrap& bootstrap) {
  const std::string kind = reader.Text(json, "kind");
  bootstrap.kind = kind == "runs"        ? BootstrapOptions::Kind::kClusters
                   : kind == "residuals" ? BootstrapOptions::Kind::kResiduals
                                         : BootstrapOptions::Kind::kCases;
  bootstrap.seed = static_cast<uint64_t>(reader.Whole(json, "seed"));
  bootstrap.at_bound = static_cast<int>(reader.Whole(json, "at_bound"));
  for (const Json& row : reader.List(json, "parameters")) {
    if (!row.is_array() || row.size() != size) {
      reader.Fail("a resample does not have the law's parameters");
      return;
    }
    Vector& parameters = bootstrap.parameters.emplace_back(static_cast<int>(size));
    for (size_t i = 0; i < size; ++i) {
      parameters[static_cast<int>(i)] = reader.Plain(row[i], "resamples");
    }
  }
}

void ReadSource(Reader& reader, const Json& json, FitRecord& record) {
  DataSource& source = record.source;
  source.file = reader.Text(json, "file");
  source.hash = reader.Text(json, "hash");
  source.rows = reader.Whole(json, "rows");
  source.other_rows = reader.Whole(json, "other_rows");
  source.options = reader.Texts(json, "options");
  for (const Json& dropped : reader.List(json, "dropped")) {
    record.dropped.push_back(
        {ReadPoint(reader, reader.At(dropped, "point")), reader.Text(dropped, "why")});
  }
}

}  // namespace

std::string WriteFitFile(const FitRecord& record) {
  const Fit& fit = record.fit;
  Json parameters = Json::object();
  for (size_t i = 0; i < fit.law->parameters().size(); ++i) {
    parameters[fit.law->parameters()[i].name] = fit.parameters[static_cast<int>(i)];
  }
  Json refusals = Json::array();
  for (const Refusal& refusal : fit.refusals) {
    refusals.push_back({{"reason", refusal.reason}, {"measure_next", refusal.measure_next}});
  }
  Json points = Json::array();
  for (const Point& p : record.points) points.push_back(PointJson(p));
  Json resamples = Json::array();
  for (const Vector& row : record.bootstrap.parameters) resamples.push_back(VectorJson(row));
  const Identifiability& known = fit.identifiability;
  const Json json{
      {"what", kWhat},
      {"version", kVersion},
      {"made", record.made},
      {"law", std::string(fit.law->name())},
      {"formula", std::string(fit.law->formula())},
      {"trusted", fit.trusted()},
      {"parameters", parameters},
      {"objective",
       {{"kind", NameOf(fit.objective.kind)},
        {"delta", fit.objective.delta},
        {"sum", fit.objective_sum},
        {"scale", fit.scale}}},
      {"data", SourceJson(record)},
      {"warnings", fit.warnings},
      {"refusals", refusals},
      {"residual_sd", fit.residual_sd},
      {"residual_rms", fit.residual_rms},
      {"starts", fit.starts},
      {"starts_best", fit.starts_best},
      {"lowest", fit.lowest},
      {"highest", fit.highest},
      {"identifiability",
       {{"condition", known.condition},
        {"standard_errors", VectorJson(known.standard_errors)},
        {"relative_errors", VectorJson(known.relative_errors)},
        {"weakest", known.weakest}}},
      {"bootstrap",
       {{"kind", NameOf(record.bootstrap.kind)},
        {"seed", record.bootstrap.seed},
        {"at_bound", record.bootstrap.at_bound},
        {"parameters", resamples}}},
      {"points", points},
      {"residuals", fit.residuals},
  };
  return json.dump() + "\n";
}

absl::StatusOr<FitRecord> ReadFitFile(const std::string& text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  Reader reader(name);
  if (!json.is_object() || !json.contains("what") || json["what"] != kWhat) {
    reader.Fail("this is no fit");
    return reader.status();
  }
  const int64_t version = reader.Whole(json, "version");
  if (version != kVersion) {
    reader.Fail(absl::StrCat("version ", version, " where ", kVersion, " can be read"));
  }
  const std::string law = reader.Text(json, "law");
  LR_RETURN_IF_ERROR(reader.status());
  FitRecord record;
  LR_ASSIGN_OR_RETURN(record.fit.law, FindLaw(law));
  record.made = reader.Text(json, "made");
  for (const Json& point : reader.List(json, "points")) {
    record.points.push_back(ReadPoint(reader, point));
  }
  record.fit.points = static_cast<int>(record.points.size());
  ReadFit(reader, json, record.fit);
  ReadBootstrap(reader, reader.At(json, "bootstrap"), record.fit.law->parameters().size(),
                record.bootstrap);
  ReadSource(reader, reader.At(json, "data"), record);
  LR_RETURN_IF_ERROR(reader.status());
  LR_RETURN_IF_ERROR(CheckPoints(*record.fit.law, record.points));
  return record;
}

}  // namespace longrun::scaling
