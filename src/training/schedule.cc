#include "training/schedule.h"

#include <cmath>
#include <string>

namespace longrun::training {

absl::Status ScheduleConfig::Validate() const {
  const auto refuse = [](const char* field, const std::string& what) {
    return absl::InvalidArgumentError(std::string(field) + ": " + what);
  };
  if (!(std::isfinite(lr) && lr > 0)) return refuse("lr", "must be above 0");
  if (!(min_lr >= 0 && min_lr <= lr)) return refuse("min_lr", "must be from 0 to lr");
  if (warmup_steps < 0) return refuse("warmup_steps", "must be at least 0");
  if (decay_steps < warmup_steps) return refuse("decay_steps", "must be at least warmup_steps");
  return absl::OkStatus();
}

double LearningRate(const ScheduleConfig& config, int64_t step) {
  if (step < config.warmup_steps) {
    return config.lr * static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps + 1);
  }
  if (step >= config.decay_steps) return config.min_lr;
  const double progress = static_cast<double>(step - config.warmup_steps) /
                          static_cast<double>(config.decay_steps - config.warmup_steps);
  return config.min_lr + 0.5 * (1 + std::cos(M_PI * progress)) * (config.lr - config.min_lr);
}

}  // namespace longrun::training
