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
  virtual ~ConstraintState() = default;
  // Sets bit t of `mask` [(vocab_size + 31) / 32 words] where token t may come next. The end of
  // text may where the text is complete.
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
  // Of all constraints that somebody holds, those of waiting requests as well.
  static constexpr int64_t kMostBytes = 128 << 20;
  // The tokenizer outlives it.
  static std::unique_ptr<ConstraintCompiler> Make(const model::Tokenizer& tokenizer,
                                                  int64_t most_bytes = kMostBytes);
  virtual ~ConstraintCompiler() = default;
  // Null for plain text. InvalidArgument names the place in the schema (as a JSON pointer) and what
  // is wrong or not supported there; time and memory are bounded whatever the schema.
  // ResourceExhausted while those of others hold `most_bytes`.
  virtual absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const Format& format) = 0;
};

}  // namespace longrun::serving
