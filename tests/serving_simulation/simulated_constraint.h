// Constraints whose masks are a hash of the text and take as much effort as they are told to, which
// moves virtual time on: most little, some as much as the format says. A mask that is used before
// it is ready is a violation.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "serving/grammar/constraint.h"

namespace longrun::serving_simulation {

// A format whose dear masks take `most_effort`.
serving::Format DrawnFormat(uint64_t seed, int64_t most_effort);

// Its state before the first token, for whoever generates alone; time stands still.
std::unique_ptr<serving::ConstraintState> StartAlone(const serving::Format& format);

class SimulatedCompiler final : public serving::ConstraintCompiler {
 public:
  static constexpr double kSecondsPerEffort = 25e-9;
  SimulatedCompiler(Time* now, std::vector<std::string>* violations)
      : now_(*now), violations_(*violations) {}
  absl::StatusOr<std::shared_ptr<const serving::Constraint>> Compile(const serving::Format& format,
                                                                     const std::string&) override;
  int64_t bytes() const override { return 0; }

  // That masks took since the last call.
  int64_t TakeEffort() { return std::exchange(effort_, 0); }

 private:
  Time& now_;
  std::vector<std::string>& violations_;
  int64_t effort_ = 0;
};

}  // namespace longrun::serving_simulation
