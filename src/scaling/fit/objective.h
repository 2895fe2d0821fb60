// What a fit minimises: a sum over the points of a function of the residual. Values; any thread.
#pragma once

#include <string>

namespace longrun::scaling {

struct Objective {
  enum class Kind {
    kHuber,         // Σ Huber_δ(ln L̂ − ln L)
    kHuberDensity,  // −Σ ln p(ln L̂ − ln L), p ∝ exp(−Huber_δ(r/σ))/σ with σ fitted as well
    kSquares,  // Σ (L̂ − L)²
  };
  Kind kind = Kind::kHuber;
  double delta = 1e-3;  // δ of the two Huber kinds; above 0

  bool on_log() const { return kind != Kind::kSquares; }
  std::string Describe() const;  // "Huber 0.001 on log residuals"
};

// ρ, ρ′ and ρ″ of one residual. Huber_δ(r) = r²/2 within δ, δ(|r| − δ/2) beyond (Huber 1964).
struct Penalty {
  double value = 0;
  double slope = 0;
  double curvature = 0;
};
inline Penalty HuberPenalty(double r, double delta) {
  if (r > delta) return {delta * (r - delta / 2), delta, 0};
  if (r < -delta) return {delta * (-r - delta / 2), -delta, 0};
  return {r * r / 2, r, 1};
}
inline Penalty SquarePenalty(double r) { return {r * r, 2 * r, 2}; }

// ∫ exp(−Huber_δ(r)) dr, which makes a density of it.
double HuberNormalizer(double delta);

}  // namespace longrun::scaling
