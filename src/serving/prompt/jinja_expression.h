// The expressions of a chat template, with Jinja's precedences: from loose to tight, x if y else z,
// or, and, not, comparisons, + -, ~, * / // %, **, unary signs, filters and tests, and .a [b] (c).
// Used by the parser of statements alone.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serving/prompt/jinja_lexer.h"
#include "serving/prompt/jinja_parser.h"

namespace longrun::serving::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  // The last token, kEnd, is never passed.
  const Token& Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& Next() {
    const Token& token = Peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool Sign(std::string_view sign) const;
  bool Name(std::string_view name) const;
  bool TakeSign(std::string_view sign);
  bool TakeName(std::string_view name);
  absl::Status Need(std::string_view sign);
  absl::Status Unexpected(std::string_view what) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream* tokens) : tokens_(tokens) {}
  // `with_conditional`: x if y else z too; not in `for a in b if c`.
  absl::StatusOr<ExpressionPtr> Parse(bool with_conditional = true);

 private:
  using Level = absl::StatusOr<ExpressionPtr> (ExpressionParser::*)();
  absl::StatusOr<ExpressionPtr> Make(Expression::Kind kind, std::string name,
                                     std::vector<ExpressionPtr> parts);
  absl::StatusOr<ExpressionPtr> Make(Expression::Kind kind, std::string name, ExpressionPtr a,
                                     ExpressionPtr b = nullptr, ExpressionPtr c = nullptr);
  absl::StatusOr<ExpressionPtr> Constant(Value value);
  absl::StatusOr<ExpressionPtr> Or();
  absl::StatusOr<ExpressionPtr> And();
  absl::StatusOr<ExpressionPtr> Not();
  absl::StatusOr<ExpressionPtr> Compare();
  absl::StatusOr<ExpressionPtr> Sum();
  absl::StatusOr<ExpressionPtr> Concatenation();
  absl::StatusOr<ExpressionPtr> Product();
  absl::StatusOr<ExpressionPtr> Power();
  absl::StatusOr<ExpressionPtr> UnaryWithFilters();
  absl::StatusOr<ExpressionPtr> LeftToRight(std::initializer_list<std::string_view> signs,
                                            Level operand);
  absl::StatusOr<ExpressionPtr> Unary(bool with_filters);
  absl::StatusOr<ExpressionPtr> Primary();
  absl::StatusOr<ExpressionPtr> Parenthesis();
  absl::StatusOr<ExpressionPtr> Items(std::string_view close);
  absl::StatusOr<ExpressionPtr> MapItems();
  absl::StatusOr<ExpressionPtr> Postfix(ExpressionPtr made);
  absl::StatusOr<ExpressionPtr> Subscript(ExpressionPtr object);
  absl::StatusOr<ExpressionPtr> Arguments(Expression::Kind kind, std::string name,
                                          ExpressionPtr object);
  absl::StatusOr<ExpressionPtr> Filters(ExpressionPtr made);
  absl::StatusOr<ExpressionPtr> Test(ExpressionPtr object);

  TokenStream* tokens_;
  int nesting_ = 0;
};

}  // namespace longrun::serving::jinja
