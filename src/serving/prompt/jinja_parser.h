// A chat template as a tree: what of Jinja is understood (docs/chat-templates.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serving/prompt/jinja_value.h"

namespace longrun::serving::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind {
    kConstant,     // value
    kName,         // name
    kList,         // parts
    kMap,          // parts: key, value, key, value …
    kUnary,        // name: - + not
    kBinary,       // name: + - * / // % ** ~ and or
    kCompare,      // parts and, between them, names: == != < <= > >= in "not in"
    kConditional,  // parts: then, condition, [else]
    kAttribute,    // parts[0].name
    kIndex,        // parts[0][parts[1]]
    kSlice,        // parts[0][parts[1]:parts[2]:parts[3]], null where left out
    kCall,         // parts[0](parts[1…]); names: "" or the keyword of each argument
    kFilter,       // parts[0] | name(parts[1…]); names as in a call
    kTest,         // parts[0] is name(parts[1…]); negated: is not
  };
  Kind kind;
  int line = 0;
  int depth = 1;  // of the tree below
  std::string name;
  bool negated = false;
  Value value;
  std::vector<ExpressionPtr> parts;
  std::vector<std::string> names;
};

using Block = std::vector<std::unique_ptr<Statement>>;

struct Statement {
  enum class Kind { kData, kPrint, kSet, kSetBlock, kIf, kFor, kMacro, kBreak, kContinue, kBlock };
  Kind kind;
  int line = 0;
  std::string text;                // of data; the macro's name
  std::vector<std::string> names;  // what is set, the loop's variables, the macro's parameters
  std::string attribute;           // {% set name.attribute = … %}
  // Printed, assigned, looped over and (second, may be null) the loop's condition; the conditions
  // of an if and its elifs; the defaults of a macro's parameters (null: none).
  std::vector<ExpressionPtr> expressions;
  std::vector<Block> bodies;  // of if, elif …, else; of for and its else; of a macro
};

// InvalidArgument names the line. Refused: nesting over 100 deep, other tags.
absl::StatusOr<Block> Parse(std::string_view source);

}  // namespace longrun::serving::jinja
