#include "serving/prompt/jinja_expression.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace longrun::serving::jinja {
namespace {

// Trees are walked, and taken down, by recursion.
constexpr int kDeepest = 100;

bool OneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

using Kind = Token::Kind;
using E = Expression::Kind;

bool TokenStream::Sign(std::string_view sign) const {
  return Peek().kind == Kind::kSign && Peek().text == sign;
}
bool TokenStream::Name(std::string_view name) const {
  return Peek().kind == Kind::kName && Peek().text == name;
}
bool TokenStream::TakeSign(std::string_view sign) {
  const bool is = Sign(sign);
  if (is) Next();
  return is;
}
bool TokenStream::TakeName(std::string_view name) {
  const bool is = Name(name);
  if (is) Next();
  return is;
}
absl::Status TokenStream::Need(std::string_view sign) {
  if (TakeSign(sign)) return absl::OkStatus();
  return Unexpected(absl::StrCat("\"", std::string(sign), "\" is missing"));
}
absl::Status TokenStream::Unexpected(std::string_view what) const {
  const Token& token = Peek();
  const std::string found = token.text.empty() ? "the end of the tag"
                                               : absl::StrCat("\"", token.text.substr(0, 40), "\"");
  return ErrorAt(token.line, absl::StrCat(std::string(what), " before ", found));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Make(E kind, std::string name,
                                                     std::vector<ExpressionPtr> parts) {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->line = tokens_->Peek().line;
  made->name = std::move(name);
  for (const ExpressionPtr& part : parts)
    if (part) made->depth = std::max(made->depth, part->depth + 1);
  made->parts = std::move(parts);
  if (made->depth > kDeepest) return ErrorAt(made->line, "an expression over 100 deep");
  return made;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Make(E kind, std::string name, ExpressionPtr a,
                                                     ExpressionPtr b, ExpressionPtr c) {
  std::vector<ExpressionPtr> parts;
  parts.push_back(std::move(a));
  if (b) parts.push_back(std::move(b));
  if (c) parts.push_back(std::move(c));
  return Make(kind, std::move(name), std::move(parts));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Parse(bool with_conditional) {
  if (++nesting_ > kDeepest) return tokens_->Unexpected("nested over 100 deep");
  LR_ASSIGN_OR_RETURN(ExpressionPtr left, Or());
  while (with_conditional && tokens_->TakeName("if")) {
    LR_ASSIGN_OR_RETURN(ExpressionPtr condition, Or());
    ExpressionPtr otherwise;
    if (tokens_->TakeName("else")) {
      LR_ASSIGN_OR_RETURN(otherwise, Parse());
    }
    LR_ASSIGN_OR_RETURN(left, Make(E::kConditional, "", std::move(left), std::move(condition),
                                   std::move(otherwise)));
  }
  --nesting_;
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Or() {
  LR_ASSIGN_OR_RETURN(ExpressionPtr left, And());
  while (tokens_->TakeName("or")) {
    LR_ASSIGN_OR_RETURN(ExpressionPtr right, And());
    LR_ASSIGN_OR_RETURN(left, Make(E::kBinary, "or", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::And() {
  LR_ASSIGN_OR_RETURN(ExpressionPtr left, Not());
  while (tokens_->TakeName("and")) {
    LR_ASSIGN_OR_RETURN(ExpressionPtr right, Not());
    LR_ASSIGN_OR_RETURN(left, Make(E::kBinary, "and", std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Not() {
  int times = 0;
  while (tokens_->TakeName("not")) ++times;
  LR_ASSIGN_OR_RETURN(ExpressionPtr operand, Compare());
  if (times == 0) return operand;
  LR_ASSIGN_OR_RETURN(operand, Make(E::kUnary, "not", std::move(operand)));
  if (times % 2 == 1) return operand;
  return Make(E::kUnary, "not", std::move(operand));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Compare() {
  LR_ASSIGN_OR_RETURN(ExpressionPtr first, Sum());
  std::vector<ExpressionPtr> parts;
  std::vector<std::string> names;
  parts.push_back(std::move(first));
  while (true) {
    const Token& token = tokens_->Peek();
    std::string name;
    if (token.kind == Kind::kSign && OneOf(token.text, {"==", "!=", "<", "<=", ">", ">="})) {
      name = token.text;
      tokens_->Next();
    } else if (tokens_->TakeName("in")) {
      name = "in";
    } else if (tokens_->Name("not") && tokens_->Peek(1).text == "in") {
      tokens_->Next();
      tokens_->Next();
      name = "not in";
    } else {
      break;
    }
    names.push_back(name);
    LR_ASSIGN_OR_RETURN(ExpressionPtr next, Sum());
    parts.push_back(std::move(next));
  }
  if (names.empty()) return std::move(parts[0]);
  LR_ASSIGN_OR_RETURN(ExpressionPtr made, Make(E::kCompare, "", std::move(parts)));
  made->names = std::move(names);
  return made;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Sum() {
  return LeftToRight({"+", "-"}, &ExpressionParser::Concatenation);
}
absl::StatusOr<ExpressionPtr> ExpressionParser::Concatenation() {
  return LeftToRight({"~"}, &ExpressionParser::Product);
}
absl::StatusOr<ExpressionPtr> ExpressionParser::Product() {
  return LeftToRight({"*", "/", "//", "%"}, &ExpressionParser::Power);
}
absl::StatusOr<ExpressionPtr> ExpressionParser::Power() {
  return LeftToRight({"**"}, &ExpressionParser::UnaryWithFilters);
}
absl::StatusOr<ExpressionPtr> ExpressionParser::UnaryWithFilters() { return Unary(true); }

absl::StatusOr<ExpressionPtr> ExpressionParser::LeftToRight(
    std::initializer_list<std::string_view> signs, Level operand) {
  LR_ASSIGN_OR_RETURN(ExpressionPtr left, (this->*operand)());
  while (tokens_->Peek().kind == Kind::kSign && OneOf(tokens_->Peek().text, signs)) {
    const std::string sign = tokens_->Next().text;
    LR_ASSIGN_OR_RETURN(ExpressionPtr right, (this->*operand)());
    LR_ASSIGN_OR_RETURN(left, Make(E::kBinary, sign, std::move(left), std::move(right)));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Unary(bool with_filters) {
  if (++nesting_ > kDeepest) return tokens_->Unexpected("nested over 100 deep");
  ExpressionPtr made;
  if (tokens_->Sign("-") || tokens_->Sign("+")) {
    const std::string sign = tokens_->Next().text;
    LR_ASSIGN_OR_RETURN(ExpressionPtr operand, Unary(false));
    LR_ASSIGN_OR_RETURN(made, Make(E::kUnary, sign, std::move(operand)));
  } else {
    LR_ASSIGN_OR_RETURN(made, Primary());
    LR_ASSIGN_OR_RETURN(made, Postfix(std::move(made)));
  }
  --nesting_;
  if (with_filters) return Filters(std::move(made));
  return made;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Constant(Value value) {
  LR_ASSIGN_OR_RETURN(ExpressionPtr made, Make(E::kConstant, "", std::vector<ExpressionPtr>()));
  made->value = std::move(value);
  return made;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Primary() {
  const Token token = tokens_->Peek();
  switch (token.kind) {
    case Kind::kInt:
      tokens_->Next();
      return Constant({static_cast<int64_t>(std::strtoll(token.text.c_str(), nullptr, 10))});
    case Kind::kFloat:
      tokens_->Next();
      return Constant({std::strtod(token.text.c_str(), nullptr)});
    case Kind::kText: {
      std::string text;  // neighbours are one text
      while (tokens_->Peek().kind == Kind::kText) text += tokens_->Next().text;
      return Constant(Value::Text(std::move(text), Origin::kTemplate));
    }
    case Kind::kName:
      tokens_->Next();
      if (OneOf(token.text, {"true", "True"})) return Constant({true});
      if (OneOf(token.text, {"false", "False"})) return Constant({false});
      if (OneOf(token.text, {"none", "None"})) return Constant({None{}});
      return Make(E::kName, token.text, std::vector<ExpressionPtr>());
    default:
      break;
  }
  if (tokens_->TakeSign("(")) return Parenthesis();
  if (tokens_->TakeSign("[")) return Items("]");
  if (tokens_->TakeSign("{")) return MapItems();
  return tokens_->Unexpected("a value is missing");
}

// A value in parentheses, or a tuple, which is a list here.
absl::StatusOr<ExpressionPtr> ExpressionParser::Parenthesis() {
  if (tokens_->TakeSign(")")) return Make(E::kList, "", std::vector<ExpressionPtr>());
  LR_ASSIGN_OR_RETURN(ExpressionPtr first, Parse());
  if (tokens_->TakeSign(")")) return first;
  LR_RETURN_IF_ERROR(tokens_->Need(","));
  LR_ASSIGN_OR_RETURN(ExpressionPtr rest, Items(")"));
  std::vector<ExpressionPtr> parts;
  parts.push_back(std::move(first));
  for (ExpressionPtr& part : rest->parts) parts.push_back(std::move(part));
  return Make(E::kList, "", std::move(parts));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Items(std::string_view close) {
  std::vector<ExpressionPtr> parts;
  while (!tokens_->TakeSign(close)) {
    if (!parts.empty() && !tokens_->TakeSign(",")) return tokens_->Unexpected("a comma is missing");
    if (tokens_->TakeSign(close)) break;
    LR_ASSIGN_OR_RETURN(ExpressionPtr part, Parse());
    parts.push_back(std::move(part));
  }
  return Make(E::kList, "", std::move(parts));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::MapItems() {
  std::vector<ExpressionPtr> parts;
  while (!tokens_->TakeSign("}")) {
    if (!parts.empty()) LR_RETURN_IF_ERROR(tokens_->Need(","));
    if (tokens_->TakeSign("}")) break;
    LR_ASSIGN_OR_RETURN(ExpressionPtr key, Parse());
    LR_RETURN_IF_ERROR(tokens_->Need(":"));
    LR_ASSIGN_OR_RETURN(ExpressionPtr value, Parse());
    parts.push_back(std::move(key));
    parts.push_back(std::move(value));
  }
  return Make(E::kMap, "", std::move(parts));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Postfix(ExpressionPtr made) {
  while (true) {
    if (tokens_->TakeSign(".")) {
      const Token name = tokens_->Next();
      if (name.kind == Kind::kInt) {
        LR_ASSIGN_OR_RETURN(
            ExpressionPtr index,
            Constant({static_cast<int64_t>(std::strtoll(name.text.c_str(), nullptr, 10))}));
        LR_ASSIGN_OR_RETURN(made, Make(E::kIndex, "", std::move(made), std::move(index)));
      } else if (name.kind == Kind::kName) {
        LR_ASSIGN_OR_RETURN(made, Make(E::kAttribute, name.text, std::move(made)));
      } else {
        return ErrorAt(name.line, "a name is missing after \".\"");
      }
    } else if (tokens_->TakeSign("[")) {
      LR_ASSIGN_OR_RETURN(made, Subscript(std::move(made)));
    } else if (tokens_->TakeSign("(")) {
      LR_ASSIGN_OR_RETURN(made, Arguments(E::kCall, "", std::move(made)));
    } else {
      return made;
    }
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Subscript(ExpressionPtr object) {
  std::vector<ExpressionPtr> parts;
  parts.push_back(std::move(object));
  bool is_slice = false;
  ExpressionPtr part;
  while (!tokens_->TakeSign("]")) {
    if (tokens_->TakeSign(":")) {
      is_slice = true;
      parts.push_back(std::move(part));
      part = nullptr;
    } else if (part == nullptr) {
      LR_ASSIGN_OR_RETURN(part, Parse());
    } else {
      return tokens_->Unexpected("\"]\" is missing");
    }
  }
  if (!is_slice && part == nullptr) return tokens_->Unexpected("an index is missing");
  parts.push_back(std::move(part));
  if (!is_slice) return Make(E::kIndex, "", std::move(parts));
  if (parts.size() > 4) return tokens_->Unexpected("a slice has at most three parts");
  parts.resize(4);
  return Make(E::kSlice, "", std::move(parts));
}

// After the "(": of a call, a filter or a test.
absl::StatusOr<ExpressionPtr> ExpressionParser::Arguments(E kind, std::string name,
                                                          ExpressionPtr object) {
  std::vector<ExpressionPtr> parts;
  std::vector<std::string> names;
  parts.push_back(std::move(object));
  while (!tokens_->TakeSign(")")) {
    if (!names.empty()) LR_RETURN_IF_ERROR(tokens_->Need(","));
    if (tokens_->TakeSign(")")) break;
    std::string keyword;
    if (tokens_->Peek().kind == Kind::kName && tokens_->Peek(1).kind == Kind::kSign &&
        tokens_->Peek(1).text == "=") {
      keyword = tokens_->Next().text;
      tokens_->Next();
    }
    names.push_back(keyword);
    LR_ASSIGN_OR_RETURN(ExpressionPtr part, Parse());
    parts.push_back(std::move(part));
  }
  LR_ASSIGN_OR_RETURN(ExpressionPtr made, Make(kind, std::move(name), std::move(parts)));
  made->names = std::move(names);
  return made;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Filters(ExpressionPtr made) {
  while (true) {
    if (tokens_->TakeSign("|")) {
      if (tokens_->Peek().kind != Kind::kName) return tokens_->Unexpected("a filter is missing");
      const std::string name = tokens_->Next().text;
      if (tokens_->TakeSign("(")) {
        LR_ASSIGN_OR_RETURN(made, Arguments(E::kFilter, name, std::move(made)));
      } else {
        LR_ASSIGN_OR_RETURN(made, Make(E::kFilter, name, std::move(made)));
      }
    } else if (tokens_->TakeName("is")) {
      LR_ASSIGN_OR_RETURN(made, Test(std::move(made)));
    } else if (tokens_->TakeSign("(")) {
      LR_ASSIGN_OR_RETURN(made, Arguments(E::kCall, "", std::move(made)));
    } else {
      return made;
    }
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::Test(ExpressionPtr object) {
  const bool negated = tokens_->TakeName("not");
  std::string name;
  if (tokens_->Peek().kind == Kind::kName || tokens_->Sign("==")) name = tokens_->Next().text;
  if (name.empty()) return tokens_->Unexpected("a test is missing");
  const Token& next = tokens_->Peek();
  ExpressionPtr made;
  if (tokens_->TakeSign("(")) {
    LR_ASSIGN_OR_RETURN(made, Arguments(E::kTest, name, std::move(object)));
  } else if (next.kind == Kind::kInt || next.kind == Kind::kText ||
             (next.kind == Kind::kName &&
              !OneOf(next.text, {"else", "or", "and", "is", "if", "in", "not"}))) {
    LR_ASSIGN_OR_RETURN(ExpressionPtr argument, Unary(false));
    LR_ASSIGN_OR_RETURN(made, Make(E::kTest, name, std::move(object), std::move(argument)));
    made->names = {""};
  } else {
    LR_ASSIGN_OR_RETURN(made, Make(E::kTest, name, std::move(object)));
  }
  made->negated = negated;
  return made;
}

}  // namespace longrun::serving::jinja
