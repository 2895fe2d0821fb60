#include "serving/prompt/jinja_parser.h"

#include "absl/strings/str_cat.h"
#include "serving/prompt/jinja_expression.h"
#include "serving/prompt/jinja_lexer.h"

namespace longrun::serving::jinja {
namespace {

constexpr int kDeepest = 100;
using Kind = Statement::Kind;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(&tokens_) {}

  // Statements up to a block whose tag is one of `ends` ("" : the end of the source), which is
  // taken up to its name.
  absl::StatusOr<Block> Body(const std::vector<std::string_view>& ends, std::string* end) {
    if (++nesting_ > kDeepest) return tokens_.Unexpected("blocks nested over 100 deep");
    Block block;
    while (true) {
      const Token token = tokens_.Next();
      if (token.kind == Token::Kind::kEnd) {
        if (!ends.empty())
          return ErrorAt(token.line,
                         absl::StrCat("{% ", std::string(ends.back()), " %} is missing"));
        break;
      }
      if (token.kind == Token::Kind::kData) {
        block.push_back(Make(Kind::kData, token.line));
        block.back()->text = token.text;
      } else if (token.kind == Token::Kind::kPrintBegin) {
        block.push_back(Make(Kind::kPrint, token.line));
        LR_RETURN_IF_ERROR(AddExpression(block.back().get()));
        if (tokens_.Next().kind != Token::Kind::kPrintEnd) return BadEnd();
      } else {
        const Token name = tokens_.Next();
        for (const std::string_view candidate : ends) {
          if (name.text == candidate) {
            *end = name.text;
            --nesting_;
            return block;
          }
        }
        LR_ASSIGN_OR_RETURN(std::unique_ptr<Statement> statement, Tag(name));
        block.push_back(std::move(statement));
      }
    }
    --nesting_;
    return block;
  }

 private:
  static std::unique_ptr<Statement> Make(Kind kind, int line) {
    auto made = std::make_unique<Statement>();
    made->kind = kind;
    made->line = line;
    return made;
  }

  absl::Status BadEnd() { return tokens_.Unexpected("the tag does not end"); }

  absl::Status BlockEnd() {
    if (tokens_.Peek().kind != Token::Kind::kBlockEnd) return BadEnd();
    tokens_.Next();
    return absl::OkStatus();
  }

  absl::Status AddExpression(Statement* to, bool with_conditional = true) {
    LR_ASSIGN_OR_RETURN(ExpressionPtr expression, expressions_.Parse(with_conditional));
    to->expressions.push_back(std::move(expression));
    return absl::OkStatus();
  }

  absl::Status AddBody(Statement* to, const std::vector<std::string_view>& ends, std::string* end) {
    LR_RETURN_IF_ERROR(BlockEnd());
    LR_ASSIGN_OR_RETURN(Block body, Body(ends, end));
    to->bodies.push_back(std::move(body));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Statement>> Tag(const Token& name) {
    if (name.text == "set") return Set(name.line);
    if (name.text == "if") return If(name.line);
    if (name.text == "for") return For(name.line);
    if (name.text == "macro") return Macro(name.line);
    if (name.text == "break" || name.text == "continue") {
      if (loops_ == 0) return ErrorAt(name.line, absl::StrCat(name.text, " outside of a loop"));
      auto made = Make(name.text == "break" ? Kind::kBreak : Kind::kContinue, name.line);
      LR_RETURN_IF_ERROR(BlockEnd());
      return made;
    }
    if (name.text == "generation") {  // transformers' mark for training: no effect here
      auto made = Make(Kind::kBlock, name.line);
      std::string end;
      LR_RETURN_IF_ERROR(AddBody(made.get(), {"endgeneration"}, &end));
      LR_RETURN_IF_ERROR(BlockEnd());
      return made;
    }
    return ErrorAt(name.line, absl::StrCat("{% ", name.text,
                                           " %} is not supported; set, if, for, macro, break, "
                                           "continue and generation are"));
  }

  absl::StatusOr<std::string> TakeName() {
    if (tokens_.Peek().kind != Token::Kind::kName) return tokens_.Unexpected("a name is missing");
    return tokens_.Next().text;
  }

  absl::Status Targets(Statement* to) {
    const bool parenthesis = tokens_.TakeSign("(");
    do {
      LR_ASSIGN_OR_RETURN(std::string name, TakeName());
      to->names.push_back(std::move(name));
    } while (tokens_.TakeSign(","));
    return parenthesis ? tokens_.Need(")") : absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Statement>> Set(int line) {
    auto made = Make(Kind::kSet, line);
    LR_RETURN_IF_ERROR(Targets(made.get()));
    if (made->names.size() == 1 && tokens_.TakeSign(".")) {
      LR_ASSIGN_OR_RETURN(made->attribute, TakeName());
    }
    if (tokens_.TakeSign("=")) {
      LR_RETURN_IF_ERROR(AddExpression(made.get()));
      if (tokens_.TakeSign(",")) return tokens_.Unexpected("a tuple needs its parentheses here");
    } else if (made->names.size() == 1) {
      made->kind = Kind::kSetBlock;
      std::string end;
      LR_RETURN_IF_ERROR(AddBody(made.get(), {"endset"}, &end));
    }
    LR_RETURN_IF_ERROR(BlockEnd());
    return made;
  }

  absl::StatusOr<std::unique_ptr<Statement>> If(int line) {
    auto made = Make(Kind::kIf, line);
    std::string end = "elif";
    while (end == "elif") {
      LR_RETURN_IF_ERROR(AddExpression(made.get()));
      LR_RETURN_IF_ERROR(AddBody(made.get(), {"elif", "else", "endif"}, &end));
    }
    if (end == "else") LR_RETURN_IF_ERROR(AddBody(made.get(), {"endif"}, &end));
    LR_RETURN_IF_ERROR(BlockEnd());
    return made;
  }

  absl::StatusOr<std::unique_ptr<Statement>> For(int line) {
    auto made = Make(Kind::kFor, line);
    LR_RETURN_IF_ERROR(Targets(made.get()));
    if (!tokens_.TakeName("in")) return tokens_.Unexpected("\"in\" is missing");
    LR_RETURN_IF_ERROR(AddExpression(made.get(), false));
    if (tokens_.TakeName("if")) LR_RETURN_IF_ERROR(AddExpression(made.get()));
    if (tokens_.Name("recursive")) return tokens_.Unexpected("recursive loops are not supported");
    std::string end;
    ++loops_;
    LR_RETURN_IF_ERROR(AddBody(made.get(), {"else", "endfor"}, &end));
    --loops_;
    if (end == "else") LR_RETURN_IF_ERROR(AddBody(made.get(), {"endfor"}, &end));
    LR_RETURN_IF_ERROR(BlockEnd());
    return made;
  }

  absl::StatusOr<std::unique_ptr<Statement>> Macro(int line) {
    auto made = Make(Kind::kMacro, line);
    LR_ASSIGN_OR_RETURN(made->text, TakeName());
    LR_RETURN_IF_ERROR(tokens_.Need("("));
    while (!tokens_.TakeSign(")")) {
      if (!made->names.empty()) LR_RETURN_IF_ERROR(tokens_.Need(","));
      LR_ASSIGN_OR_RETURN(std::string name, TakeName());
      made->names.push_back(std::move(name));
      if (tokens_.TakeSign("=")) {
        LR_RETURN_IF_ERROR(AddExpression(made.get()));
      } else {
        made->expressions.push_back(nullptr);
      }
    }
    const int loops = std::exchange(loops_, 0);  // a macro cannot leave its caller's loop
    std::string end;
    LR_RETURN_IF_ERROR(AddBody(made.get(), {"endmacro"}, &end));
    loops_ = loops;
    LR_RETURN_IF_ERROR(BlockEnd());
    return made;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int nesting_ = 0;
  int loops_ = 0;
};

}  // namespace

absl::StatusOr<Block> Parse(std::string_view source) {
  LR_ASSIGN_OR_RETURN(std::vector<Token> tokens, Lex(source));
  std::string end;
  return Parser(std::move(tokens)).Body({}, &end);
}

}  // namespace longrun::serving::jinja
