// The parts that JSON texts are made of, as rules of a grammar. One thread builds.
//
// Texts are narrower than JSON where JSON would let a model write on without saying anything: white
// space is a single blank, or a line break and up to 40 blanks or tabs, and stands only after one
// of { [ , : and before } or ]; numbers have at most 18 digits before the point, 17 after it, two
// in the exponent.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "serving/grammar/grammar.h"

namespace longrun::serving {

struct NumberRange {
  bool whole = false;  // no fraction or exponent
  std::optional<int64_t> low, high;
  bool low_excluded = false, high_excluded = false;
};

class JsonRules {
 public:
  explicit JsonRules(GrammarBuilder* builder);

  // Each adds the ways from `from` to `to`.
  void Space(StateId from, StateId to) { builder_->Call(from, space_, to); }
  void AnyValue(StateId from, StateId to) { builder_->Call(from, value_, to); }
  void AnyObject(StateId from, StateId to);
  void AnyArray(StateId from, StateId to);
  // Of `shortest` to `longest` characters (kNever: any number), escapes counted as what they mean.
  void String(int32_t shortest, int32_t longest, StateId from, StateId to);
  // A string that is none of `names`, without escapes.
  void OtherKey(const std::set<std::string>& names, StateId from, StateId to);
  void Number(const NumberRange& range, StateId from, StateId to);
  // One of the texts, as they are.
  void OneOf(const std::set<std::string>& texts, StateId from, StateId to);

 private:
  void MakeSpace();
  void MakeCharacter();
  void MakeValue();
  void AnyNumber(StateId from, StateId to);
  void Digits(int64_t fewest, int64_t most, StateId from, StateId to);
  void Whole(int64_t low, int64_t high, StateId from, StateId to);
  void Magnitude(const NumberRange& range, StateId from, StateId to);

  GrammarBuilder* builder_;
  RuleId space_ = 0;
  RuleId character_ = 0;
  RuleId value_ = 0;
};

}  // namespace longrun::serving
