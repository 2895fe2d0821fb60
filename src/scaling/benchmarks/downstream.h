// The second step of a two-step prediction: from a loss (or the benchmark's negative log
// likelihood) to accuracy. The first step, from compute to the loss, is any law.
//
//   sigmoid      accuracy = floor + (ceiling − floor) / (1 + e^(slope·(L − middle)))
//                (Llama 3, arXiv:2407.21783, section 3.2.1)
//   exponential  accuracy = floor + gain·e^(−rate·L); the error is ε − k·e^(−γL) with ε = 1 − floor
//                (Gadre et al., arXiv:2403.08540, equation 5)
//
// Pure; any thread.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/range.h"

namespace longrun::scaling {

enum class DownstreamForm { kSigmoid, kExponential };

struct DownstreamPoint {
  double loss = 0;
  double accuracy = 0;  // 0 to 1
};

struct DownstreamOptions {
  DownstreamForm form = DownstreamForm::kSigmoid;
  std::optional<double> floor;    // accuracy by chance, where it is known
  std::optional<double> ceiling;  // sigmoid alone; 1 unless `free_ceiling`
  bool free_ceiling = false;
};

struct DownstreamParameter {
  std::string name;
  double value = 0;
  double standard_error = 0;  // 0: given, not fitted
};

// Least squares on accuracy, from the best of a grid of starts. Intervals by Student's t from the
// residuals: parameters, scatter of one benchmark result, and the uncertainty of the loss.
class DownstreamCurve {
 public:
  // InvalidArgument: too few points to tell an error (one more than parameters), values outside
  // their range, all losses the same. FailedPrecondition: the data do not pin the curve down; says
  // what would.
  static absl::StatusOr<DownstreamCurve> Fit(const std::vector<DownstreamPoint>& points,
                                             const DownstreamOptions& options);

  const std::vector<DownstreamParameter>& parameters() const { return parameters_; }
  double residual_sd() const { return residual_sd_; }
  int dof() const { return dof_; }
  double At(double loss) const;
  // dAccuracy/dLoss; not positive.
  double SlopeAt(double loss) const;
  // Where the accuracy of one model lies with probability `level`, its loss being known to
  // `loss_sd`.
  Range PredictionInterval(double loss, double loss_sd, double level) const;

 private:
  void NameParameters();

  DownstreamForm form_ = DownstreamForm::kSigmoid;
  double centre_ = 0;
  // floor, height, sharpness, middle (of the centred loss); see Shape in the .cc.
  Eigen::Vector4d shape_ = Eigen::Vector4d::Zero();
  bool ceiling_held_ = false;
  std::vector<int> free_;       // which of shape_ were fitted
  Eigen::MatrixXd covariance_;  // of those
  std::vector<DownstreamParameter> parameters_;
  double residual_sd_ = 0;
  int dof_ = 0;
};

}  // namespace longrun::scaling
