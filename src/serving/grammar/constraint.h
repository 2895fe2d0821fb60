// Which tokens may come next so that the text is JSON, or JSON that a schema allows.
//
// A ConstraintCompiler holds what depends on the vocabulary alone; any thread may use it. A
// Constraint never changes and is shared; a ConstraintState belongs to one choice.
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
  // The tokenizer outlives it.
  static std::unique_ptr<ConstraintCompiler> Make(const model::Tokenizer& tokenizer);
  virtual ~ConstraintCompiler() = default;
  // Null for plain text. InvalidArgument names the place in the schema (as a JSON pointer) and what
  // is wrong or not supported there; time and memory are bounded whatever the schema.
  virtual absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const Format& format) = 0;
};

}  // namespace longrun::serving
