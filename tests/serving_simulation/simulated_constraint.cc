#include "serving_simulation/simulated_constraint.h"

#include <algorithm>
#include <functional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "serving_simulation/simulated_executor.h"

namespace longrun::serving_simulation {
namespace {

using serving::Constraint;
using serving::ConstraintState;
using serving::Format;

struct Rules {
  uint64_t seed = 0;
  int64_t most_effort = 0;
};

Rules RulesOf(const Format& format) {
  Rules rules;
  std::istringstream(format.json_schema) >> rules.seed >> rules.most_effort;
  return rules;
}

class HashState final : public ConstraintState {
 public:
  using Spent = std::function<void(int64_t effort)>;
  HashState(const Rules& rules, Spent spent, std::vector<std::string>* violations)
      : rules_(rules), spent_(std::move(spent)), violations_(violations), hash_(rules.seed) {}

  int64_t Prepare(int64_t effort) override {
    const int64_t paid = std::min(effort, Effort() - paid_);
    paid_ += paid;
    spent_(paid);
    return paid;
  }
  bool ready() const override { return paid_ == Effort(); }
  void Mask(std::span<uint32_t> mask) override {
    if (!ready() && violations_ != nullptr) {
      violations_->push_back("a mask was used before it was ready");
    }
    std::fill(mask.begin(), mask.end(), 0);
    for (TokenId t = 0; t < kVocab; ++t) {
      if (Allows(t)) mask[static_cast<size_t>(t) / 32] |= 1u << (t % 32);
    }
  }
  bool Accept(TokenId token) override {
    if (!Allows(token)) return false;
    hash_ = Mix64(hash_ ^ static_cast<uint64_t>(token + 1));
    paid_ = 0;
    return true;
  }
  bool complete() const override { return hash_ % 16 == 1 && hash_ != rules_.seed; }
  std::unique_ptr<ConstraintState> Clone() const override {
    return std::make_unique<HashState>(*this);
  }

 private:
  int64_t Effort() const { return hash_ % 4 == 0 ? rules_.most_effort : 500; }
  bool Allows(TokenId token) const { return Mix64(hash_ + static_cast<uint64_t>(token)) % 4 > 0; }

  Rules rules_;
  Spent spent_;
  std::vector<std::string>* violations_;
  uint64_t hash_;  // of the text
  int64_t paid_ = 0;
};

class HashConstraint final : public Constraint {
 public:
  HashConstraint(const Rules& rules, HashState::Spent spent, std::vector<std::string>* violations)
      : rules_(rules), spent_(std::move(spent)), violations_(violations) {}
  std::unique_ptr<ConstraintState> Start() const override {
    return std::make_unique<HashState>(rules_, spent_, violations_);
  }

 private:
  const Rules rules_;
  const HashState::Spent spent_;
  std::vector<std::string>* const violations_;
};

}  // namespace

Format DrawnFormat(uint64_t seed, int64_t most_effort) {
  return {serving::FormatKind::kJsonSchema, absl::StrCat(seed, " ", most_effort)};
}

std::unique_ptr<ConstraintState> StartAlone(const Format& format) {
  if (format.kind == serving::FormatKind::kText) return nullptr;
  return std::make_unique<HashState>(
      RulesOf(format), [](int64_t) {}, nullptr);
}

absl::StatusOr<std::shared_ptr<const Constraint>> SimulatedCompiler::Compile(const Format& format,
                                                                             const std::string&) {
  const auto spent = [this](int64_t effort) {
    effort_ += effort;
    now_ = now_ + Duration::Seconds(static_cast<double>(effort) * kSecondsPerEffort);
  };
  return std::make_shared<HashConstraint>(RulesOf(format), spent, &violations_);
}

}  // namespace longrun::serving_simulation
