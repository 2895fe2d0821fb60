#include "scaling/benchmarks/downstream.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <unsupported/Eigen/NonLinearOptimization>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "scaling/distributions.h"

namespace longrun::scaling {
namespace {

using Eigen::Matrix4d;
using Eigen::MatrixXd;
using Eigen::Vector4d;
using Eigen::VectorXd;

// Both forms are floor + height·g(sharpness·(x − middle)), x the loss less its mean: g is the
// falling logistic, or e^(−·) with the middle held at 0.
enum Shape { kFloor, kHeight, kSharpness, kMiddle };

constexpr double kTooSharp = 1e4;        // per nat: a step that no loss resolves
constexpr double kIllConditioned = 1e7;  // of the Jacobian, columns scaled

double Bend(DownstreamForm form, double z) {
  return form == DownstreamForm::kSigmoid ? 1 / (1 + std::exp(z)) : std::exp(-z);
}

double BendSlope(DownstreamForm form, double z) {
  const double g = Bend(form, z);
  return form == DownstreamForm::kSigmoid ? -g * (1 - g) : -g;
}

double Value(DownstreamForm form, const Vector4d& shape, double x) {
  return shape[kFloor] + shape[kHeight] * Bend(form, shape[kSharpness] * (x - shape[kMiddle]));
}

// d value / d shape. A ceiling that is held makes the height fall as the floor rises.
Vector4d Gradient(DownstreamForm form, const Vector4d& shape, double x, bool ceiling_held) {
  const double dx = x - shape[kMiddle];
  const double z = shape[kSharpness] * dx;
  const double steep = shape[kHeight] * BendSlope(form, z);
  return {ceiling_held ? 1 - Bend(form, z) : 1, Bend(form, z), steep * dx,
          -steep * shape[kSharpness]};
}

// What Eigen's Levenberg and Marquardt asks of a problem.
struct Residuals {
  DownstreamForm form;
  const std::vector<DownstreamPoint>* points;
  double centre;
  std::vector<int> free;
  std::optional<double> ceiling;  // held: height = ceiling − floor
  Vector4d fixed;                 // values of those that are not free

  Vector4d ShapeOf(const VectorXd& x) const {
    Vector4d shape = fixed;
    for (size_t i = 0; i < free.size(); ++i) shape[free[i]] = x[static_cast<long>(i)];
    if (ceiling) shape[kHeight] = *ceiling - shape[kFloor];
    return shape;
  }
  int values() const { return static_cast<int>(points->size()); }
  int operator()(const VectorXd& x, VectorXd& residuals) const {
    const Vector4d shape = ShapeOf(x);
    for (int i = 0; i < values(); ++i) {
      const DownstreamPoint& point = (*points)[i];
      residuals[i] = Value(form, shape, point.loss - centre) - point.accuracy;
    }
    return residuals.allFinite() ? 0 : -1;
  }
  int df(const VectorXd& x, MatrixXd& jacobian) const {
    const Vector4d shape = ShapeOf(x);
    for (int i = 0; i < values(); ++i) {
      const Vector4d gradient =
          Gradient(form, shape, (*points)[i].loss - centre, ceiling.has_value());
      for (size_t j = 0; j < free.size(); ++j) jacobian(i, j) = gradient[free[j]];
    }
    return jacobian.allFinite() ? 0 : -1;
  }
};

absl::Status CheckPoints(const std::vector<DownstreamPoint>& points, size_t parameters) {
  for (const DownstreamPoint& point : points) {
    if (!std::isfinite(point.loss) || !(point.accuracy >= 0 && point.accuracy <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("loss %g with accuracy %g: a loss is finite, an accuracy between 0 and 1",
                          point.loss, point.accuracy));
    }
  }
  if (points.size() <= parameters) {
    return absl::InvalidArgumentError(
        absl::StrCat(points.size(), " points for a curve of ", parameters, " parameters; ",
                     parameters + 1, " are needed at least, so that its error can be told"));
  }
  const auto [low, high] = std::minmax_element(
      points.begin(), points.end(), [](const auto& a, const auto& b) { return a.loss < b.loss; });
  if (low->loss == high->loss) {
    return absl::InvalidArgumentError(
        absl::StrFormat("all losses are %g: models of different losses are needed", low->loss));
  }
  return absl::OkStatus();
}

Residuals MakeResiduals(const std::vector<DownstreamPoint>& points,
                        const DownstreamOptions& options) {
  Residuals problem{options.form, &points, 0, {}, std::nullopt, Vector4d::Zero()};
  for (const DownstreamPoint& point : points) problem.centre += point.loss / points.size();
  if (options.floor) {
    problem.fixed[kFloor] = *options.floor;
  } else {
    problem.free.push_back(kFloor);
  }
  const bool sigmoid = options.form == DownstreamForm::kSigmoid;
  if (sigmoid && !options.free_ceiling) {
    problem.ceiling = options.ceiling.value_or(1);
  } else {
    problem.free.push_back(kHeight);
  }
  problem.free.push_back(kSharpness);
  if (sigmoid) problem.free.push_back(kMiddle);
  return problem;
}

// Values of the free ones for a start, from the data's range.
VectorXd StartFrom(const Residuals& problem, double sharpness, double middle, double floor,
                   double height) {
  Vector4d all;
  all << floor, height, sharpness, middle;
  VectorXd start(problem.free.size());
  for (size_t i = 0; i < problem.free.size(); ++i) start[i] = all[problem.free[i]];
  return start;
}

// The best of the optima reached from a grid: sharpness per range of loss, and the middle.
VectorXd Search(const Residuals& problem) {
  double low = INFINITY, high = -INFINITY, worst = 1, best_accuracy = 0;
  for (const DownstreamPoint& point : *problem.points) {
    low = std::min(low, point.loss - problem.centre);
    high = std::max(high, point.loss - problem.centre);
    worst = std::min(worst, point.accuracy);
    best_accuracy = std::max(best_accuracy, point.accuracy);
  }
  double best = INFINITY;
  VectorXd found;
  const bool sigmoid = problem.form == DownstreamForm::kSigmoid;
  for (const double steps : {0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0}) {
    for (const double at : {-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0}) {
      if (!sigmoid && at != 0) continue;
      const double middle = sigmoid ? low + at * (high - low) : 0;
      VectorXd x = StartFrom(problem, steps / (high - low), middle, worst,
                             std::max(0.05, best_accuracy - worst));
      Residuals copy = problem;
      Eigen::LevenbergMarquardt<Residuals> solver(copy);
      solver.parameters.maxfev = 2000;
      solver.parameters.ftol = solver.parameters.xtol = 1e-14;
      solver.minimize(x);
      const double norm = solver.fvec.squaredNorm();
      if (x.allFinite() && norm < best) {
        best = norm;
        found = x;
      }
    }
  }
  return found;
}

// Condition of the Jacobian with its columns at length 1.
double Condition(MatrixXd jacobian) {
  for (int j = 0; j < jacobian.cols(); ++j) {
    const double length = jacobian.col(j).norm();
    if (!(length > 0)) return INFINITY;
    jacobian.col(j) /= length;
  }
  const VectorXd values = jacobian.jacobiSvd().singularValues();
  return values[0] / values[values.size() - 1];
}

absl::Status CheckTrust(const Residuals& problem, const VectorXd& x, const MatrixXd& jacobian) {
  const Vector4d shape = problem.ShapeOf(x);
  if (!(shape[kSharpness] > 0) || !(shape[kHeight] > 0)) {
    return absl::FailedPreconditionError(
        "accuracy does not rise as the loss falls in these data; measure models with lower losses, "
        "or another benchmark");
  }
  if (shape[kSharpness] > kTooSharp || !(Condition(jacobian) < kIllConditioned)) {
    return absl::FailedPreconditionError(
        "these losses do not pin the curve down (its parameters trade against each other); measure "
        "models whose losses lie between and beyond these, or give the accuracy of chance with "
        "--chance");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DownstreamCurve> DownstreamCurve::Fit(const std::vector<DownstreamPoint>& points,
                                                     const DownstreamOptions& options) {
  const Residuals problem = MakeResiduals(points, options);
  LR_RETURN_IF_ERROR(CheckPoints(points, problem.free.size()));
  const VectorXd x = Search(problem);
  VectorXd residuals(problem.values());
  MatrixXd jacobian(problem.values(), x.size());
  if (x.size() == 0 || problem(x, residuals) != 0 || problem.df(x, jacobian) != 0) {
    return absl::FailedPreconditionError("no curve of this form comes near these data");
  }
  LR_RETURN_IF_ERROR(CheckTrust(problem, x, jacobian));
  DownstreamCurve curve;
  curve.form_ = options.form;
  curve.centre_ = problem.centre;
  curve.shape_ = problem.ShapeOf(x);
  curve.ceiling_held_ = problem.ceiling.has_value();
  curve.free_ = problem.free;
  curve.dof_ = problem.values() - static_cast<int>(x.size());
  curve.residual_sd_ = std::sqrt(residuals.squaredNorm() / curve.dof_);
  curve.covariance_ =
      (jacobian.transpose() * jacobian).inverse() * curve.residual_sd_ * curve.residual_sd_;
  curve.NameParameters();
  return curve;
}

void DownstreamCurve::NameParameters() {
  Vector4d errors = Vector4d::Zero();
  for (size_t i = 0; i < free_.size(); ++i) {
    errors[free_[i]] = std::sqrt(covariance_(static_cast<long>(i), static_cast<long>(i)));
  }
  parameters_ = {{"floor", shape_[kFloor], errors[kFloor]}};
  if (form_ == DownstreamForm::kSigmoid) {
    // Of a free ceiling: floor + height.
    double variance = 0;
    if (!ceiling_held_) {
      for (size_t i = 0; i < free_.size(); ++i) {
        for (size_t j = 0; j < free_.size(); ++j) {
          if (free_[i] <= kHeight && free_[j] <= kHeight) variance += covariance_(i, j);
        }
      }
    }
    parameters_.push_back({"ceiling", shape_[kFloor] + shape_[kHeight], std::sqrt(variance)});
    parameters_.push_back({"slope", shape_[kSharpness], errors[kSharpness]});
    parameters_.push_back({"middle", shape_[kMiddle] + centre_, errors[kMiddle]});
    return;
  }
  // gain = height·e^(rate·centre), its error by the delta method.
  const double stretch = std::exp(shape_[kSharpness] * centre_);
  VectorXd gradient = VectorXd::Zero(static_cast<long>(free_.size()));
  for (size_t i = 0; i < free_.size(); ++i) {
    if (free_[i] == kHeight) gradient[i] = stretch;
    if (free_[i] == kSharpness) gradient[i] = centre_ * shape_[kHeight] * stretch;
  }
  parameters_.push_back(
      {"gain", shape_[kHeight] * stretch, std::sqrt(gradient.dot(covariance_ * gradient))});
  parameters_.push_back({"rate", shape_[kSharpness], errors[kSharpness]});
}

double DownstreamCurve::At(double loss) const { return Value(form_, shape_, loss - centre_); }

double DownstreamCurve::SlopeAt(double loss) const {
  const double z = shape_[kSharpness] * (loss - centre_ - shape_[kMiddle]);
  return shape_[kHeight] * shape_[kSharpness] * BendSlope(form_, z);
}

Range DownstreamCurve::PredictionInterval(double loss, double loss_sd, double level) const {
  const Vector4d all = Gradient(form_, shape_, loss - centre_, ceiling_held_);
  VectorXd gradient(free_.size());
  for (size_t i = 0; i < free_.size(); ++i) gradient[i] = all[free_[i]];
  const double by_loss = SlopeAt(loss) * loss_sd;
  const double variance =
      gradient.dot(covariance_ * gradient) + residual_sd_ * residual_sd_ + by_loss * by_loss;
  const double half = StudentTQuantile((1 + level) / 2, dof_) * std::sqrt(variance);
  return {std::max(0.0, At(loss) - half), std::min(1.0, At(loss) + half)};
}

}  // namespace longrun::scaling
