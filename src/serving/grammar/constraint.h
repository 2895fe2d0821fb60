// Which tokens may come next so that the text is JSON, or JSON that a schema allows.
//
// A ConstraintCompiler holds what depends on the vocabulary alone; any thread may use it. A
// Constraint never changes and is shared by the choices of its request alone: what one caller's
// text cost must not show in another's time. A ConstraintState belongs to one choice.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "model/tokenizer.h"
#include "serving/request.h"

namespace longrun::serving {

class ConstraintState {
 public:
  // No bound.
  static constexpr int64_t kAllEffort = int64_t{1} << 40;

  virtual ~ConstraintState() = default;
  // Works on the mask of what may come next, until it is ready or so much effort was taken, or
  // little more; what it took more, and what Accept took, is paid from the next. The unit is a look
  // at a place of the grammar, some 20 ns. Returns what was paid. Different states may be asked at
  // once.
  virtual int64_t Prepare(int64_t effort) = 0;
  virtual bool ready() const = 0;
  // Sets bit t of `mask` [(vocab_size + 31) / 32 words] where token t may come next, once it is
  // prepared to the end. The end of text may where the text is complete.
  virtual void Mask(std::span<uint32_t> mask) = 0;
  // Takes a token; false where it was not allowed (and nothing changed).
  virtual bool Accept(model::TokenId token) = 0;
  // Nothing but the end may follow.
  virtual bool complete() const = 0;
  virtual std::unique_ptr<ConstraintState> Clone() const = 0;
};

class Constraint {
 public:
  virtual ~Constraint() = default;
  virtual std::unique_ptr<ConstraintState> Start() const = 0;
};

class ConstraintCompiler {
 public:
  // Of all constraints that somebody holds, those of waiting requests as well, and of what they
  // remember once they are used. It is shared out fairly between tenants (base/fair_account.h): who
  // holds much already is refused more constraints, and its own remember less.
  static constexpr int64_t kMostBytes = 128 << 20;
  // Of each of them at the least, however little is left.
  static constexpr int64_t kLeastMachineBytes = 64 << 10;
  // Of each at the most, however much is left; and what one mask may take while it is worked out.
  static constexpr int64_t kMostMachineBytes = 4 << 20;
  static constexpr int64_t kMostMaskBytes = 8 << 20;

  // The tokenizer outlives it.
  static std::unique_ptr<ConstraintCompiler> Make(const model::Tokenizer& tokenizer,
                                                  int64_t most_bytes = kMostBytes);
  virtual ~ConstraintCompiler() = default;
  // Null for plain text. InvalidArgument names the place in the schema (as a JSON pointer) and what
  // is wrong or not supported there; time and memory are bounded whatever the schema.
  // ResourceExhausted, before any work, where those of the tenant would hold more than they leave.
  virtual absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const Format& format,
                                                                    const std::string& tenant) = 0;
  // Held now, of all tenants.
  virtual int64_t bytes() const = 0;
};

}  // namespace longrun::serving
