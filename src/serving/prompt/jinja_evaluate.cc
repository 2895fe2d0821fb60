#include "serving/prompt/jinja_evaluate.h"

#include <algorithm>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "serving/prompt/jinja_arithmetic.h"
#include "serving/prompt/jinja_lexer.h"

namespace longrun::serving::jinja {
namespace {

// Trees are at most 100 deep; macros that call each other may nest beyond.
constexpr int kDeepest = 400;

bool IsBuiltin(const std::string& name) {
  return name == "raise_exception" || name == "range" || name == "namespace" || name == "dict" ||
         name == "strftime_now";
}

absl::StatusOr<Value> TimeText(Time now, const Arguments& arguments) {
  const Value* format = arguments.Get(0, "format");
  if (format == nullptr || !format->text() || format->text()->empty())
    return absl::InvalidArgumentError("strftime_now: a format such as '%d %b %Y' is needed");
  const std::time_t seconds = now.us / 1'000'000;
  std::tm date{};
  ::gmtime_r(&seconds, &date);
  char text[256];
  const size_t bytes = std::strftime(text, sizeof text, format->text()->bytes().c_str(), &date);
  if (bytes == 0) return absl::InvalidArgumentError("strftime_now: the text would be too long");
  return Value::Text(std::string(text, bytes), format->text()->OriginOfAll());
}

}  // namespace

const Value* Lookup(const Scopes& scopes, std::string_view name) {
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
    for (const auto& [known, value] : *scope)
      if (known == name) return &value;
  }
  return nullptr;
}

absl::StatusOr<Value> Evaluator::Evaluate(const Expression& expression) {
  if (depth_ >= kDeepest) return absl::ResourceExhaustedError("macros call each other too deep");
  LR_RETURN_IF_ERROR(budget_->Spend(1));
  ++depth_;
  absl::StatusOr<Value> value = Switch(expression);
  --depth_;
  if (!value.ok()) return AtLine(expression.line, value.status());
  if (value->depth > Value::kDeepest)
    return ErrorAt(expression.line, "lists nested over 64 deep, or a namespace in one");
  return value;
}

absl::StatusOr<Value> Evaluator::Switch(const Expression& expression) {
  using Kind = Expression::Kind;
  switch (expression.kind) {
    case Kind::kConstant:
      return expression.value;
    case Kind::kName:
      return NameOf(expression.name);
    case Kind::kList:
      return ListOf(expression);
    case Kind::kMap:
      return MapOf(expression);
    case Kind::kUnary:
      return Unary(expression);
    case Kind::kBinary:
      return Binary(expression);
    case Kind::kCompare:
      return Compared(expression);
    case Kind::kConditional:
      return Conditional(expression);
    case Kind::kAttribute: {
      LR_ASSIGN_OR_RETURN(const Value object, Part(expression, 0));
      return Attribute(object, expression.name);
    }
    case Kind::kIndex: {
      LR_ASSIGN_OR_RETURN(const Value object, Part(expression, 0));
      LR_ASSIGN_OR_RETURN(const Value index, Part(expression, 1));
      LR_RETURN_IF_ERROR(budget_->SpendText(object.text() ? object.text()->size() : 0));
      return Index(object, index);
    }
    case Kind::kSlice:
      return Sliced(expression);
    case Kind::kCall:
      return Call(expression);
    case Kind::kFilter: {
      LR_ASSIGN_OR_RETURN(const Value value, Part(expression, 0));
      LR_ASSIGN_OR_RETURN(const Arguments arguments, ArgumentsOf(expression));
      return ApplyFilter(expression.name, value, arguments, budget_);
    }
    case Kind::kTest: {
      LR_ASSIGN_OR_RETURN(const Value value, Part(expression, 0));
      LR_ASSIGN_OR_RETURN(const Arguments arguments, ArgumentsOf(expression));
      LR_ASSIGN_OR_RETURN(const bool holds, ApplyTest(expression.name, value, arguments, budget_));
      return Value{holds != expression.negated};
    }
  }
  return Value{None{}};
}

absl::StatusOr<Value> Evaluator::NameOf(const std::string& name) {
  size_t variables = 0;
  for (const auto& scope : *scopes_) variables += scope.size();
  LR_RETURN_IF_ERROR(budget_->Spend(static_cast<int64_t>(variables / 16)));  // looked through
  if (const Value* value = Lookup(*scopes_, name)) return *value;
  if (IsBuiltin(name)) return Value{Builtin{name}};
  return Value{Undefined{name}};
}

absl::StatusOr<Value> Evaluator::ListOf(const Expression& expression) {
  List list;
  for (const ExpressionPtr& part : expression.parts) {
    LR_ASSIGN_OR_RETURN(Value value, Evaluate(*part));
    list.push_back(std::move(value));
  }
  return Value::OfList(std::move(list));
}

absl::StatusOr<Value> Evaluator::MapOf(const Expression& expression) {
  Map map;
  for (size_t i = 0; i < expression.parts.size(); i += 2) {
    LR_ASSIGN_OR_RETURN(const Value key, Part(expression, i));
    LR_ASSIGN_OR_RETURN(Value value, Part(expression, i + 1));
    if (key.text() == nullptr) return absl::InvalidArgumentError("a map's key must be text");
    map.emplace_back(*key.text(), std::move(value));
  }
  return Value::OfMap(std::move(map));
}

absl::StatusOr<Value> Evaluator::Unary(const Expression& expression) {
  LR_ASSIGN_OR_RETURN(const Value value, Part(expression, 0));
  if (expression.name == "not") return Value{!value.Truth()};
  return Arithmetic(expression.name, Value{int64_t{0}}, value, budget_);
}

absl::StatusOr<Value> Evaluator::Binary(const Expression& expression) {
  LR_ASSIGN_OR_RETURN(Value left, Part(expression, 0));
  if (expression.name == "and" && !left.Truth()) return left;
  if (expression.name == "or" && left.Truth()) return left;
  LR_ASSIGN_OR_RETURN(Value right, Part(expression, 1));
  if (expression.name == "and" || expression.name == "or") return right;
  return Arithmetic(expression.name, left, right, budget_);
}

absl::StatusOr<Value> Evaluator::Compared(const Expression& expression) {
  LR_ASSIGN_OR_RETURN(Value left, Part(expression, 0));
  for (size_t i = 0; i < expression.names.size(); ++i) {
    const std::string& name = expression.names[i];
    LR_ASSIGN_OR_RETURN(Value right, Part(expression, i + 1));
    bool holds = false;
    if (name == "in" || name == "not in") {
      LR_ASSIGN_OR_RETURN(holds, Contains(right, left, budget_));
    } else if (name == "==" || name == "!=") {
      LR_ASSIGN_OR_RETURN(holds, Equal(left, right, budget_));
    } else {
      LR_ASSIGN_OR_RETURN(const int order, Compare(left, right));
      holds = (name[0] == '<' ? order < 0 : order > 0) || (name.size() == 2 && order == 0);
    }
    if (name == "!=" || name == "not in") holds = !holds;
    if (!holds) return Value{false};
    left = std::move(right);
  }
  return Value{true};
}

absl::StatusOr<Value> Evaluator::Conditional(const Expression& expression) {
  LR_ASSIGN_OR_RETURN(const Value condition, Part(expression, 1));
  if (condition.Truth()) return Part(expression, 0);
  if (expression.parts.size() > 2) return Part(expression, 2);
  return Value{Undefined{"else"}};
}

absl::StatusOr<Value> Evaluator::Sliced(const Expression& expression) {
  Value bounds[4] = {{None{}}, {None{}}, {None{}}, {None{}}};
  for (size_t i = 0; i < 4; ++i) {
    if (!expression.parts[i]) continue;
    LR_ASSIGN_OR_RETURN(bounds[i], Part(expression, i));
  }
  return Slice(bounds[0], bounds[1], bounds[2], bounds[3], budget_);
}

absl::StatusOr<Arguments> Evaluator::ArgumentsOf(const Expression& expression) {
  Arguments arguments;
  for (size_t i = 1; i < expression.parts.size(); ++i) {
    LR_ASSIGN_OR_RETURN(Value value, Part(expression, i));
    const std::string& keyword = expression.names[i - 1];
    if (keyword.empty()) {
      arguments.positional.push_back(std::move(value));
    } else {
      arguments.keyword.emplace_back(keyword, std::move(value));
    }
  }
  return arguments;
}

absl::StatusOr<Value> Evaluator::Call(const Expression& expression) {
  LR_ASSIGN_OR_RETURN(const Value callee, Part(expression, 0));
  LR_ASSIGN_OR_RETURN(const Arguments arguments, ArgumentsOf(expression));
  if (const auto* macro = std::get_if<const Statement*>(&callee.of))
    return macros_->CallMacro(**macro, arguments);
  if (const auto* builtin = std::get_if<Builtin>(&callee.of))
    return CallBuiltin(builtin->name, arguments);
  if (const auto* method = std::get_if<Method>(&callee.of))
    return CallMethod(*method->object, method->name, arguments, budget_);
  if (callee.undefined())
    return absl::InvalidArgumentError(
        absl::StrCat("there is no ", std::get<Undefined>(callee.of).name, " to call"));
  return absl::InvalidArgumentError(absl::StrCat(std::string(callee.kind()), " cannot be called"));
}

absl::StatusOr<Value> Evaluator::CallBuiltin(const std::string& name, const Arguments& arguments) {
  if (name == "raise_exception") {
    std::string message = "the template refused these messages";
    if (!arguments.positional.empty() && arguments.positional[0].text())
      message = arguments.positional[0].text()->bytes();
    return absl::InvalidArgumentError(message);
  }
  if (name == "strftime_now") return TimeText(now_, arguments);
  if (name == "range") {
    int64_t bounds[3] = {0, 0, 1};
    const size_t given = arguments.positional.size();
    if (given < 1 || given > 3) return absl::InvalidArgumentError("range: 1 to 3 numbers");
    for (size_t i = 0; i < given; ++i) {
      LR_ASSIGN_OR_RETURN(bounds[given == 1 ? 1 : i], arguments.positional[i].AsInt());
    }
    const auto [from, to, step] = bounds;
    if (step == 0) return absl::InvalidArgumentError("range: a step of 0");
    List list;
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
      LR_RETURN_IF_ERROR(budget_->SpendParts(1));
      list.push_back(Value{i});
      if (__builtin_add_overflow(i, step, &i)) break;
    }
    return Value::OfList(std::move(list));
  }
  for (const auto& [key, value] : arguments.keyword)
    if (value.depth >= Value::kDeepest)
      return absl::InvalidArgumentError("a namespace cannot be held");
  if (name == "namespace") {
    auto made = std::make_shared<Namespace>();
    made->entries = arguments.keyword;
    return Value{std::move(made), Value::kDeepest};
  }
  Map map;
  for (const auto& [key, value] : arguments.keyword)
    map.emplace_back(MarkedText(key, Origin::kTemplate), value);
  return Value::OfMap(std::move(map));
}

}  // namespace longrun::serving::jinja
