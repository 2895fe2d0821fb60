#include "serving/grammar/constraint.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "serving/grammar/machine.h"
#include "serving/grammar/schema.h"
#include "serving/grammar/token_tree.h"

namespace longrun::serving {
namespace {

// Bytes of grammars that somebody holds.
class Account {
 public:
  explicit Account(int64_t most) : most_(most) {}
  absl::Status Take(int64_t bytes) {
    if (held_.fetch_add(bytes) + bytes <= most_) return absl::OkStatus();
    Return(bytes);
    return absl::ResourceExhaustedError(
        "the JSON schemas of requests under way take all memory that there is for them; try again");
  }
  void Return(int64_t bytes) { held_.fetch_sub(bytes); }

 private:
  const int64_t most_;
  std::atomic<int64_t> held_ = 0;
};

// A grammar, its bytes in the account while it lives.
struct HeldGrammar {
  HeldGrammar(Grammar of, int64_t bytes_taken, std::shared_ptr<Account> from)
      : grammar(std::move(of)), bytes(bytes_taken), account(std::move(from)) {}
  HeldGrammar(const HeldGrammar&) = delete;
  HeldGrammar& operator=(const HeldGrammar&) = delete;
  ~HeldGrammar() { account->Return(bytes); }

  const Grammar grammar;
  const int64_t bytes;
  const std::shared_ptr<Account> account;
};

// What all states of a constraint share: the grammar, and a machine that is made anew once it
// remembers too much.
class GrammarConstraint final : public Constraint,
                                public std::enable_shared_from_this<GrammarConstraint> {
 public:
  GrammarConstraint(const model::Tokenizer& tokenizer, std::shared_ptr<const TokenTree> tokens,
                    std::shared_ptr<const HeldGrammar> held)
      : tokenizer_(tokenizer), tokens_(std::move(tokens)), held_(std::move(held)) {
    Renew();
  }
  std::unique_ptr<ConstraintState> Start() const override;

  // A machine and the lock under which it is used; machines live as long as a state stands in them.
  struct Shared {
    Shared(const Grammar& grammar, const TokenTree& tokens) : machine(grammar, tokens) {}
    std::mutex mutex;
    Machine machine;
  };
  std::shared_ptr<Shared> Current() const {
    const std::lock_guard lock(mutex_);
    return shared_;
  }
  void Renew() const {
    auto fresh = std::make_shared<Shared>(held_->grammar, *tokens_);
    const std::lock_guard lock(mutex_);
    shared_ = std::move(fresh);
  }
  const model::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  const model::Tokenizer& tokenizer_;
  std::shared_ptr<const TokenTree> tokens_;
  std::shared_ptr<const HeldGrammar> held_;
  mutable std::mutex mutex_;  // of shared_
  mutable std::shared_ptr<Shared> shared_;
};

class GrammarState final : public ConstraintState {
 public:
  explicit GrammarState(std::shared_ptr<const GrammarConstraint> constraint)
      : constraint_(std::move(constraint)), shared_(constraint_->Current()) {
    const std::lock_guard lock(shared_->mutex);
    place_ = shared_->machine.start();
  }

  void Mask(std::span<uint32_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    const std::optional<TokenId> end = constraint_->tokenizer().end_of_text();
    if (!ended_) {
      RenewIfFull();
      const std::lock_guard lock(shared_->mutex);
      const std::vector<uint32_t>& allowed = shared_->machine.Mask(place_);
      std::copy_n(allowed.begin(), std::min(allowed.size(), mask.size()), mask.begin());
    }
    if (end.has_value() && MayEnd()) mask[static_cast<size_t>(*end) / 32] |= 1u << (*end % 32);
  }

  bool Accept(TokenId token) override {
    const model::Tokenizer& tokenizer = constraint_->tokenizer();
    if (token < 0 || token >= tokenizer.vocab_size() || ended_) return false;
    if (token == tokenizer.end_of_text()) return ended_ = MayEnd();
    if (tokenizer.IsSpecial(token)) return false;
    RenewIfFull();
    const std::lock_guard lock(shared_->mutex);
    Machine::Place place = place_;
    for (const char c : tokenizer.TokenBytes(token)) {
      place = shared_->machine.Step(place, static_cast<uint8_t>(c));
      if (place == Machine::kNowhere) return false;
    }
    place_ = place;
    return true;
  }

  bool complete() const override {
    if (ended_) return true;
    const std::lock_guard lock(shared_->mutex);
    return shared_->machine.MustEnd(place_);
  }

  std::unique_ptr<ConstraintState> Clone() const override {
    return std::make_unique<GrammarState>(*this);
  }

 private:
  bool MayEnd() const {
    if (ended_) return true;
    const std::lock_guard lock(shared_->mutex);
    return shared_->machine.MayEnd(place_);
  }

  void RenewIfFull() {
    Machine::Stacks stacks;
    {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->machine.IsFull()) return;
      stacks = shared_->machine.Export(place_);
    }
    if (constraint_->Current() == shared_) constraint_->Renew();
    shared_ = constraint_->Current();
    const std::lock_guard lock(shared_->mutex);
    place_ = shared_->machine.Import(stacks);
  }

  std::shared_ptr<const GrammarConstraint> constraint_;
  std::shared_ptr<GrammarConstraint::Shared> shared_;
  Machine::Place place_ = 0;
  bool ended_ = false;  // the end of text was taken
};

std::unique_ptr<ConstraintState> GrammarConstraint::Start() const {
  return std::make_unique<GrammarState>(shared_from_this());
}

class GrammarCompiler final : public ConstraintCompiler {
 public:
  GrammarCompiler(const model::Tokenizer& tokenizer, int64_t most_bytes)
      : tokenizer_(tokenizer),
        tokens_(std::make_shared<TokenTree>(tokenizer)),
        account_(std::make_shared<Account>(most_bytes)),
        object_(std::make_shared<HeldGrammar>(ObjectGrammar(), 0, account_)) {}

  absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const Format& format) override {
    switch (format.kind) {
      case FormatKind::kText:
        return std::shared_ptr<const Constraint>();
      case FormatKind::kJsonObject:
        return Constrained(object_);
      case FormatKind::kJsonSchema:
        break;
    }
    LR_RETURN_IF_ERROR(account_->Take(1));  // before there is any work
    account_->Return(1);
    LR_ASSIGN_OR_RETURN(Grammar grammar, CompileSchema(format.json_schema));
    const int64_t bytes = grammar.bytes();
    LR_RETURN_IF_ERROR(account_->Take(bytes));
    return Constrained(std::make_shared<HeldGrammar>(std::move(grammar), bytes, account_));
  }

 private:
  std::shared_ptr<const Constraint> Constrained(std::shared_ptr<const HeldGrammar> held) {
    return std::make_shared<GrammarConstraint>(tokenizer_, tokens_, std::move(held));
  }

  const model::Tokenizer& tokenizer_;
  std::shared_ptr<const TokenTree> tokens_;
  std::shared_ptr<Account> account_;
  std::shared_ptr<const HeldGrammar> object_;
};

}  // namespace

std::unique_ptr<ConstraintCompiler> ConstraintCompiler::Make(const model::Tokenizer& tokenizer,
                                                             int64_t most_bytes) {
  return std::make_unique<GrammarCompiler>(tokenizer, most_bytes);
}

}  // namespace longrun::serving
