#include "serving/grammar/constraint.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fair_account.h"
#include "base/units.h"
#include "serving/grammar/machine.h"
#include "serving/grammar/schema.h"
#include "serving/grammar/token_tree.h"

namespace longrun::serving {
namespace {

class GrammarState;

// What all states of a constraint share: the grammar, and a machine that forgets what it remembers
// where that becomes too much.
class GrammarConstraint final : public Constraint,
                                public std::enable_shared_from_this<GrammarConstraint> {
 public:
  // `share` holds what Hold says of `held_bytes`, the grammar's.
  GrammarConstraint(const model::Tokenizer& tokenizer, std::shared_ptr<const TokenTree> tokens,
                    std::shared_ptr<const Grammar> grammar, std::vector<TokenId> ends,
                    int64_t held_bytes, std::shared_ptr<FairAccount> account,
                    std::unique_ptr<FairShare> share)
      : tokenizer_(tokenizer),
        tokens_(std::move(tokens)),
        grammar_(std::move(grammar)),
        ends_(std::move(ends)),
        held_bytes_(held_bytes),
        account_(std::move(account)),
        share_(std::move(share)) {}
  std::unique_ptr<ConstraintState> Start() const override;

  // With machine_bytes of a machine, in place of what was held. False: it is too much.
  static bool Hold(FairShare* share, int64_t held_bytes, int64_t machine_bytes) {
    return share->Set(held_bytes + std::max(machine_bytes, ConstraintCompiler::kLeastMachineBytes));
  }

 private:
  friend class GrammarState;
  void Enter(GrammarState* state) const;
  void Leave(GrammarState* state) const;
  int64_t Settle() const;

  const model::Tokenizer& tokenizer_;
  const std::shared_ptr<const TokenTree> tokens_;
  const std::shared_ptr<const Grammar> grammar_;
  const std::vector<TokenId> ends_;
  const int64_t held_bytes_;
  const std::shared_ptr<FairAccount> account_;  // of share_

  mutable std::mutex mutex_;  // guards those below
  const std::unique_ptr<FairShare> share_;
  mutable std::unique_ptr<Machine> machine_;  // while there are states
  mutable std::vector<GrammarState*> states_;
};

class GrammarState final : public ConstraintState {
 public:
  explicit GrammarState(std::shared_ptr<const GrammarConstraint> constraint)
      : constraint_(std::move(constraint)) {
    const std::lock_guard lock(constraint_->mutex_);
    constraint_->Enter(this);
    place_ = machine().start();
    owed_ = machine().effort();
  }
  GrammarState(const GrammarState& other)
      : ConstraintState(other), constraint_(other.constraint_), ended_(other.ended_) {
    const std::lock_guard lock(constraint_->mutex_);
    constraint_->Enter(this);
    place_ = other.place_;
    mask_ = other.mask_;
  }
  GrammarState& operator=(const GrammarState&) = delete;
  ~GrammarState() override {
    const std::lock_guard lock(constraint_->mutex_);
    constraint_->Leave(this);
  }

  int64_t Prepare(int64_t effort) override {
    const std::lock_guard lock(constraint_->mutex_);
    if (ready()) return 0;
    const int64_t paid = std::min(owed_, effort);
    owed_ -= paid;
    if (owed_ > 0) return paid;
    const int64_t before = machine().effort();
    if (!mask_) mask_ = machine().Begin(place_);
    machine().Continue(effort - paid, &*mask_);
    const int64_t took = machine().effort() - before;
    owed_ = std::max<int64_t>(0, paid + took - effort) + constraint_->Settle();
    return std::min(effort, paid + took);
  }

  bool ready() const override { return ended_ || (mask_ && mask_->done); }

  void Mask(std::span<uint32_t> mask) override {
    while (!ready()) Prepare(kAllEffort);
    std::fill(mask.begin(), mask.end(), 0);
    const std::lock_guard lock(constraint_->mutex_);
    if (!ended_) {
      std::copy_n(mask_->bits.begin(), std::min(mask_->bits.size(), mask.size()), mask.begin());
    }
    if (!MayEnd()) return;
    for (const TokenId end : constraint_->ends_) {
      if (static_cast<size_t>(end) / 32 < mask.size())
        mask[static_cast<size_t>(end) / 32] |= 1u << (end % 32);
    }
  }

  bool Accept(TokenId token) override {
    const model::Tokenizer& tokenizer = constraint_->tokenizer_;
    if (token < 0 || token >= tokenizer.vocab_size() || ended_) return false;
    const std::lock_guard lock(constraint_->mutex_);
    const std::vector<TokenId>& ends = constraint_->ends_;
    const bool is_end = std::find(ends.begin(), ends.end(), token) != ends.end();
    if (is_end && MayEnd()) return ended_ = true;
    if (tokenizer.IsSpecial(token)) return false;
    const int64_t before = machine().effort();
    Machine::Place place = place_;
    for (const char c : tokenizer.TokenBytes(token)) {
      place = machine().Step(place, static_cast<uint8_t>(c));
      if (place == Machine::kNowhere) break;
    }
    owed_ += machine().effort() - before;
    const bool taken = place != Machine::kNowhere;
    if (taken) {
      place_ = place;
      mask_.reset();
    }
    owed_ += constraint_->Settle();
    return taken;
  }

  bool complete() const override {
    const std::lock_guard lock(constraint_->mutex_);
    return ended_ || machine().MustEnd(place_);
  }

  std::unique_ptr<ConstraintState> Clone() const override {
    return std::make_unique<GrammarState>(*this);
  }

 private:
  friend class GrammarConstraint;
  Machine& machine() const { return *constraint_->machine_; }
  bool MayEnd() const { return ended_ || machine().MayEnd(place_); }

  const std::shared_ptr<const GrammarConstraint> constraint_;
  Machine::Place place_ = 0;           // in the constraint's machine, under its mutex
  std::optional<Machine::Mask> mask_;  // of what follows there; so is its path
  int64_t owed_ = 0;                   // effort
  bool ended_ = false;                 // the end of text was taken
};

std::unique_ptr<ConstraintState> GrammarConstraint::Start() const {
  return std::make_unique<GrammarState>(shared_from_this());
}

// The mutex is held, as for those below.
void GrammarConstraint::Enter(GrammarState* state) const {
  if (machine_ == nullptr) machine_ = std::make_unique<Machine>(*grammar_, *tokens_);
  states_.push_back(state);
}

void GrammarConstraint::Leave(GrammarState* state) const {
  std::erase(states_, state);
  if (!states_.empty()) return;
  machine_.reset();
  Hold(share_.get(), held_bytes_, 0);
}

// After each use: accounts for what the machine and the masks under way hold. What is too much is
// forgotten, all but where the states stand. Returns the effort of that.
int64_t GrammarConstraint::Settle() const {
  int64_t masks = 0;
  for (const GrammarState* state : states_) masks += state->mask_ ? state->mask_->bytes() : 0;
  const int64_t bytes = machine_->bytes();
  if (bytes <= ConstraintCompiler::kMostMachineBytes &&
      Hold(share_.get(), held_bytes_, bytes + masks)) {
    return 0;
  }
  std::vector<Machine::Stacks> places;
  std::vector<std::vector<Machine::Stacks>> paths;
  for (const GrammarState* state : states_) {
    places.push_back(machine_->Export(state->place_));
    paths.push_back(state->mask_ ? machine_->Export(*state->mask_)
                                 : std::vector<Machine::Stacks>());
  }
  machine_.reset();
  machine_ = std::make_unique<Machine>(*grammar_, *tokens_);
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i]->place_ = machine_->Import(places[i]);
    if (states_[i]->mask_) machine_->Import(paths[i], &*states_[i]->mask_);
  }
  Hold(share_.get(), held_bytes_, machine_->bytes() + masks);
  return machine_->effort();
}

class GrammarCompiler final : public ConstraintCompiler {
 public:
  GrammarCompiler(const model::Tokenizer& tokenizer, int64_t most_bytes)
      : tokenizer_(tokenizer),
        tokens_(std::make_shared<TokenTree>(tokenizer)),
        account_(std::make_shared<FairAccount>(most_bytes)),
        object_(std::make_shared<Grammar>(ObjectGrammar())) {}

  absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const Format& format,
                                                            const std::string& tenant) override {
    if (format.kind == FormatKind::kText) return std::shared_ptr<const Constraint>();
    FairAccount::Party* const party = account_->PartyOf(tenant);
    auto share = std::make_unique<FairShare>(party);
    // Before there is any work.
    if (!GrammarConstraint::Hold(share.get(), 0, 0)) return TooMuch(*party);
    std::shared_ptr<const Grammar> grammar = object_;
    int64_t bytes = 0;
    if (format.kind != FormatKind::kJsonObject) {
      LR_ASSIGN_OR_RETURN(Grammar compiled, format.kind == FormatKind::kToolCalls
                                                ? CompileCalls(format.json_schema, format.calls)
                                                : CompileSchema(format.json_schema));
      bytes = compiled.bytes();
      grammar = std::make_shared<const Grammar>(std::move(compiled));
      if (!GrammarConstraint::Hold(share.get(), bytes, 0)) return TooMuch(*party);
    }
    std::vector<TokenId> ends = format.ends;
    if (const auto end = tokenizer_.end_of_text()) ends.push_back(*end);
    return std::make_shared<const GrammarConstraint>(tokenizer_, tokens_, std::move(grammar),
                                                     std::move(ends), bytes, account_,
                                                     std::move(share));
  }

  int64_t bytes() const override { return account_->bytes(); }

 private:
  absl::Status TooMuch(const FairAccount::Party& party) const {
    return absl::ResourceExhaustedError(absl::StrCat(
        "your requests under way that ask for JSON would hold ",
        FormatBytes(static_cast<double>(party.bytes())), ", more than they leave of the ",
        FormatBytes(static_cast<double>(account_->limit_bytes())),
        " that there are for the JSON formats of all; try again when one of them has ended"));
  }

  const model::Tokenizer& tokenizer_;
  const std::shared_ptr<const TokenTree> tokens_;
  const std::shared_ptr<FairAccount> account_;
  const std::shared_ptr<const Grammar> object_;
};

}  // namespace

std::unique_ptr<ConstraintCompiler> ConstraintCompiler::Make(const model::Tokenizer& tokenizer,
                                                             int64_t most_bytes) {
  return std::make_unique<GrammarCompiler>(tokenizer, most_bytes);
}

}  // namespace longrun::serving
