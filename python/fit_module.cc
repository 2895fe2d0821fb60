#include "fit_module.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "module.h"
#include "scaling/fit/optimum.h"
#include "scaling/forecast/calibration.h"

namespace longrun::python {
namespace {

namespace py = pybind11;
using scaling::Fit;
using scaling::Points;
using scaling::Quantity;

using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Columns = std::map<std::string, Array>;  // "params", "tokens", "compute", "experts", "loss"

struct FitOptions {
  std::string law;
  std::string objective;  // "huber", "free-scale", "mse"
  double delta = 1e-3;
  int drop_highest = 0;
  double min_tokens_per_param = 0;
  double max_compute = 0;
  int resamples = 4000;
  std::string resample;  // "cases", "runs", "residuals"
  uint64_t seed = 1;
  int threads = 1;
  std::string made;
};

// A point for each element; all arrays are of one length.
Points PointsOf(const Columns& columns, const std::vector<int>& runs) {
  Points points;
  for (const auto& [name, array] : columns) {
    if (array.ndim() != 1) {
      throw py::value_error(name + ": an array of one dimension is right");
    }
    if (points.empty()) points.resize(static_cast<size_t>(array.size()));
    if (static_cast<size_t>(array.size()) != points.size()) {
      throw py::value_error(absl::StrCat(name, ": ", array.size(), " values, and ", points.size(),
                                         " in the array before"));
    }
    for (size_t i = 0; i < points.size(); ++i) {
      const double value = array.data()[i];
      if (name == "loss") points[i].loss = value;
      for (const Quantity quantity : scaling::kQuantities) {
        if (scaling::QuantityName(quantity) == name) points[i].Set(quantity, value);
      }
    }
  }
  for (size_t i = 0; i < points.size(); ++i) {
    points[i].run = runs.empty() ? static_cast<int>(i) : runs[i];
  }
  FillByCompute(points);
  return points;
}

scaling::Objective ObjectiveOf(const FitOptions& options) {
  using Kind = scaling::Objective::Kind;
  if (options.objective == "mse") return {Kind::kSquares, options.delta};
  if (options.objective == "free-scale") return {Kind::kHuberDensity, options.delta};
  if (options.objective == "huber") return {Kind::kHuber, options.delta};
  throw py::value_error("objective: huber, free-scale or mse is right");
}

scaling::BootstrapOptions BootstrapOf(const FitOptions& options) {
  using Kind = scaling::BootstrapOptions::Kind;
  scaling::BootstrapOptions bootstrap;
  if (options.resample == "runs") bootstrap.kind = Kind::kClusters;
  if (options.resample == "residuals") bootstrap.kind = Kind::kResiduals;
  bootstrap.resamples = options.resamples;
  bootstrap.seed = options.seed;
  bootstrap.threads = std::max(1, options.threads);
  return bootstrap;
}

absl::StatusOr<scaling::FitRecord> MakeRecord(Points points, const FitOptions& options,
                                              const scaling::Objective& objective) {
  LR_ASSIGN_OR_RETURN(const scaling::Law* law, scaling::FindLaw(options.law));
  scaling::FitRecord record;
  record.source.file = "arrays";
  record.source.rows = static_cast<int64_t>(points.size());
  LR_ASSIGN_OR_RETURN(
      record.dropped,
      scaling::Drop({options.drop_highest, options.min_tokens_per_param, options.max_compute},
                    points));
  LR_ASSIGN_OR_RETURN(record.fit, FitLaw(*law, points, objective));
  record.points = std::move(points);
  record.made = options.made;
  for (std::string& warning : scaling::SuspectUnits(record.points)) {
    record.fit.warnings.push_back(std::move(warning));
  }
  if (options.resamples > 0 && record.fit.trusted()) {
    LR_ASSIGN_OR_RETURN(record.bootstrap,
                        Resample(record.fit, record.points, BootstrapOf(options)));
  }
  return record;
}

std::shared_ptr<HeldFit> MakeFit(const Columns& columns, const std::vector<int>& runs,
                                 const FitOptions& options) {
  Points points = PointsOf(columns, runs);
  const scaling::Objective objective = ObjectiveOf(options);
  absl::StatusOr<scaling::FitRecord> record;
  {
    py::gil_scoped_release others_may_run;
    record = MakeRecord(std::move(points), options, objective);
  }
  auto fit = std::make_shared<HeldFit>();
  fit->record = OrRaise(std::move(record));
  return fit;
}

std::shared_ptr<HeldFit> ReadFit(const std::string& text, const std::string& name) {
  auto fit = std::make_shared<HeldFit>();
  fit->record = OrRaise(scaling::ReadFitFile(text, name));
  return fit;
}

Array Copied(const std::vector<double>& values) {
  return Array(static_cast<py::ssize_t>(values.size()), values.data());
}

Array Losses(const HeldFit& fit, const Columns& columns) {
  CheckTrusted(fit);
  const Points points = PointsOf(columns, {});
  std::vector<double> losses;
  for (const scaling::Point& point : points) losses.push_back(fit.record.fit.Loss(point));
  return Copied(losses);
}

// resamples × parameters.
Array Resamples(const HeldFit& fit) {
  const std::vector<scaling::Vector>& draws = fit.record.bootstrap.parameters;
  const py::ssize_t columns = fit.record.fit.law->parameter_count();
  Array out({static_cast<py::ssize_t>(draws.size()), columns});
  auto values = out.mutable_unchecked<2>();
  for (size_t i = 0; i < draws.size(); ++i) {
    for (py::ssize_t j = 0; j < columns; ++j) {
      values(static_cast<py::ssize_t>(i), j) = draws[i][static_cast<int>(j)];
    }
  }
  return out;
}

py::dict IntervalsDict(const std::vector<scaling::Interval>& intervals) {
  py::dict out;
  for (const scaling::Interval& interval : intervals) {
    out[py::int_(static_cast<int>(100 * interval.level + 0.5))] =
        py::make_tuple(interval.low, interval.high);
  }
  return out;
}

py::dict ParameterIntervals(const HeldFit& fit) {
  py::dict out;
  if (fit.record.bootstrap.parameters.empty()) return out;
  for (int i = 0; i < fit.record.fit.law->parameter_count(); ++i) {
    out[py::str(fit.record.fit.law->parameters()[i].name)] =
        IntervalsDict(scaling::Intervals(scaling::Spread(fit.record.bootstrap, i)));
  }
  return out;
}

py::object Optimal(const HeldFit& fit, double compute) {
  CheckTrusted(fit);
  if (!(compute > 0)) throw py::value_error("compute: above 0 is right");
  const auto optimum = EstimateOptimum(fit.record.fit, fit.record.bootstrap, compute);
  if (!optimum) throw py::value_error("this law does not tell parameters from tokens");
  py::dict out;
  out["params"] = optimum->best.params;
  out["tokens"] = optimum->best.tokens;
  out["tokens_per_param"] = optimum->best.tokens / optimum->best.params;
  out["compute"] = optimum->best.compute;
  out["loss"] = optimum->best.loss;
  py::dict intervals;
  intervals["params"] = IntervalsDict(optimum->params);
  intervals["tokens"] = IntervalsDict(optimum->tokens);
  intervals["tokens_per_param"] = IntervalsDict(optimum->tokens_per_param);
  intervals["loss"] = IntervalsDict(optimum->loss);
  out["intervals"] = intervals;
  return out;
}

const scaling::Forecast& ForecastOf(HeldFit& fit, int threads) {
  if (fit.forecast) return *fit.forecast;
  scaling::CalibrationOptions options;
  options.objective = fit.record.fit.objective;
  options.by_run = fit.record.bootstrap.kind == scaling::BootstrapOptions::Kind::kClusters;
  options.threads = std::max(1, threads);
  absl::StatusOr<scaling::Forecast> forecast;
  {
    py::gil_scoped_release others_may_run;
    forecast = MakeForecast(fit.record.fit, fit.record.points, options);
  }
  fit.forecast = OrRaise(std::move(forecast));
  return *fit.forecast;
}

// Column by column: what was asked, the loss, the ends of its intervals, how far it is.
py::dict Predictions(HeldFit& fit, const Columns& columns, int threads) {
  CheckTrusted(fit);
  const scaling::Forecast& forecast = ForecastOf(fit, threads);
  std::map<std::string, std::vector<double>> out;
  std::vector<std::string> warnings;
  for (const scaling::Point& point : PointsOf(columns, {})) {
    const scaling::LossPrediction one = OrRaise(Predict(forecast, point));
    out["params"].push_back(one.point.params);
    out["tokens"].push_back(one.point.tokens);
    out["compute"].push_back(one.point.compute);
    out["loss"].push_back(one.loss);
    out["orders_beyond"].push_back(one.orders_beyond);
    for (size_t i = 0; i < one.ranges.size(); ++i) {
      const int level = static_cast<int>(100 * scaling::kForecastLevels[i] + 0.5);
      out[absl::StrCat("lower_", level)].push_back(one.ranges[i].lo);
      out[absl::StrCat("upper_", level)].push_back(one.ranges[i].hi);
    }
  }
  py::dict answer;
  for (const auto& [name, values] : out) answer[py::str(name)] = Copied(values);
  return answer;
}

std::vector<std::string> ParameterNames(const HeldFit& fit) {
  std::vector<std::string> names;
  for (const auto& info : fit.record.fit.law->parameters()) names.push_back(info.name);
  return names;
}

std::vector<double> Values(const scaling::Vector& vector) {
  return {vector.data(), vector.data() + vector.size()};
}

std::vector<std::pair<std::string, std::string>> Refusals(const HeldFit& fit) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const scaling::Refusal& one : fit.record.fit.refusals) {
    out.emplace_back(one.reason, one.measure_next);
  }
  return out;
}

}  // namespace

void CheckTrusted(const HeldFit& fit) {
  if (fit.record.fit.trusted()) return;
  std::string message = "this fit is not to be trusted";
  for (const scaling::Refusal& one : fit.record.fit.refusals) {
    absl::StrAppend(&message, ": ", one.reason, "; measure next: ", one.measure_next);
  }
  Raise(absl::FailedPreconditionError(message));
}

void AddFit(py::module_& module) {
  py::class_<FitOptions>(module, "FitOptions")
      .def(py::init<>())
      .def_readwrite("law", &FitOptions::law)
      .def_readwrite("objective", &FitOptions::objective)
      .def_readwrite("delta", &FitOptions::delta)
      .def_readwrite("drop_highest", &FitOptions::drop_highest)
      .def_readwrite("min_tokens_per_param", &FitOptions::min_tokens_per_param)
      .def_readwrite("max_compute", &FitOptions::max_compute)
      .def_readwrite("resamples", &FitOptions::resamples)
      .def_readwrite("resample", &FitOptions::resample)
      .def_readwrite("seed", &FitOptions::seed)
      .def_readwrite("threads", &FitOptions::threads)
      .def_readwrite("made", &FitOptions::made);
  py::class_<HeldFit, std::shared_ptr<HeldFit>>(module, "HeldFit")
      .def("law", [](const HeldFit& f) { return std::string(f.record.fit.law->name()); })
      .def("formula", [](const HeldFit& f) { return std::string(f.record.fit.law->formula()); })
      .def("parameter_names", &ParameterNames)
      .def("parameters", [](const HeldFit& f) { return Values(f.record.fit.parameters); })
      .def("objective_sum", [](const HeldFit& f) { return f.record.fit.objective_sum; })
      .def("points", [](const HeldFit& f) { return f.record.fit.points; })
      .def("dropped", [](const HeldFit& f) { return f.record.dropped.size(); })
      .def("residuals", [](const HeldFit& f) { return Copied(f.record.fit.residuals); })
      .def("warnings", [](const HeldFit& f) { return f.record.fit.warnings; })
      .def("refusals", &Refusals)
      .def("trusted", [](const HeldFit& f) { return f.record.fit.trusted(); })
      .def("resamples", &Resamples)
      .def("intervals", &ParameterIntervals)
      .def("losses", &Losses)
      .def("optimal", &Optimal)
      .def("predictions", &Predictions)
      .def("text", [](const HeldFit& f) {
        CheckTrusted(f);
        return scaling::WriteFitFile(f.record);
      });
  module.def("fit", &MakeFit);
  module.def("read_fit", &ReadFit);
}

}  // namespace longrun::python
