// A scaling law: a loss as a function of sizes, with a handful of parameters. One law a file
// (chinchilla.cc, kaplan.cc, …); FindLaw gives them by name. Laws are stateless, live as long as
// the program, and any thread may use them.
//
// A law has two sets of numbers for the same curve:
//   natural parameters   what papers print: A, B, E, alpha, beta
//   coordinates          what the solver moves: the log of each term at the data's centre, and the
//                        exponents. A and alpha trade against each other over eight orders of
//                        magnitude; the log of a term at the centre and alpha hardly do.
#pragma once

#include <Eigen/Core>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "scaling/runs/points.h"

namespace longrun::scaling {

inline constexpr int kMaxParameters = 8;
// On the stack: a fit makes millions of them.
using Vector = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, kMaxParameters, 1>;
using Matrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, kMaxParameters, kMaxParameters>;
// Logarithms of what the law reads, in the order of Law::reads(); unused ones are 0.
using Features = Eigen::Vector2d;

struct ParameterInfo {
  std::string name;     // "alpha"
  std::string meaning;  // "exponent of the parameters"
};

// Of the points that a law is fitted to.
struct LossRange {
  double min = 0;
  double mean = 0;
  double max = 0;
};

// The box to search.
struct Bounds {
  Vector lower;  // of coordinates
  Vector upper;
};

// The cheapest way to the lowest loss at a given compute.
struct Allocation {
  double params = 0;
  double tokens = 0;
  double compute = 0;  // FLOP
  double loss = 0;
};

class Law {
 public:
  virtual ~Law() = default;

  virtual std::string_view name() const = 0;               // "chinchilla"
  virtual std::string_view formula() const = 0;            // "L(N, D) = E + A/N^alpha + B/D^beta"
  virtual const std::vector<Quantity>& reads() const = 0;  // one or two
  virtual const std::vector<ParameterInfo>& parameters() const = 0;  // the natural ones, in order
  // Which coordinates are exponents: one at its bound is a reason to refuse a fit.
  virtual const std::vector<int>& exponents() const = 0;

  // What LogLoss takes, before centring.
  virtual Features FeaturesOf(const Point& point) const = 0;

  // ln L at `f` = FeaturesOf(point) − centre and coordinates `x` of that centre. `gradient` and
  // `hessian`, where not null, are those with respect to `x`; they are overwritten.
  virtual double LogLoss(const Features& f, const Vector& x, Vector* gradient,
                         Matrix* hessian) const = 0;

  virtual Vector ToNatural(const Vector& x, const Features& centre) const = 0;
  virtual Vector FromNatural(const Vector& natural, const Features& centre) const = 0;

  virtual Bounds Box(const LossRange& loss) const = 0;
  // Where to begin: enough of them that the best optimum is among those reached.
  virtual std::vector<Vector> Starts(const LossRange& loss) const = 0;

  // The compute-optimal N and D for `compute` FLOP; nothing for laws that do not part the two.
  virtual std::optional<Allocation> Optimal(const Vector& natural, double compute_flop) const {
    return std::nullopt;
  }

  // The loss that the natural parameters foretell at a point; kUnknown where the point lacks what
  // the law reads.
  double Loss(const Vector& natural, const Point& point) const;
  int parameter_count() const { return static_cast<int>(parameters().size()); }

 protected:
  // `best` has params and tokens: the rest of it.
  Allocation WithLoss(const Vector& natural, Allocation best, double compute_flop) const;
};

// Each in the file of its name.
const Law& PowerComputeLaw();  // "power-compute"
const Law& PowerParamsLaw();   // "power-params"
const Law& PowerTokensLaw();   // "power-tokens"
const Law& ChinchillaLaw();    // "chinchilla"
const Law& KaplanLaw();        // "kaplan"
const Law& OvertrainingLaw();  // "overtraining"
const Law& RoutedLaw();        // "routed"

const std::vector<const Law*>& AllLaws();
// An unknown name is an error that lists them.
absl::StatusOr<const Law*> FindLaw(const std::string& name);

}  // namespace longrun::scaling
