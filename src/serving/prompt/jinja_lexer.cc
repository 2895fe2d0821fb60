#include "serving/prompt/jinja_lexer.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "model/utf8.h"

namespace longrun::serving::jinja {
namespace {

constexpr std::string_view kBlank = " \t\n\r\f\v";

bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNamePart(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) {
      const size_t tag = FindTag();
      const bool is_block = tag != source_.size() && source_[tag + 1] != '{';
      Data(tag, is_block);
      if (tag == source_.size()) break;
      LR_RETURN_IF_ERROR(Tag(tag));
    }
    Push(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  using Kind = Token::Kind;

  void Push(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  size_t FindTag() const {
    for (size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' &&
          (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
        return i;
    }
    return source_.size();
  }

  char At(size_t i) const { return i < source_.size() ? source_[i] : '\0'; }

  // The text from at_ up to `tag`, less what whitespace control takes away at its two ends.
  void Data(size_t tag, bool is_block) {
    std::string_view text = source_.substr(at_, tag - at_);
    const char sign = At(tag + 2);
    const size_t whole = text.size();
    if (strip_next_) {
      text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
    } else if (drop_newline_) {
      if (text.substr(0, 2) == "\r\n") {
        text.remove_prefix(2);
      } else if (text.substr(0, 1) == "\n") {
        text.remove_prefix(1);
      }
    }
    if (tag != source_.size() && sign == '-') {
      text = text.substr(0, text.find_last_not_of(kBlank) + 1);
    } else if (is_block && sign != '+') {
      const size_t end = text.find_last_not_of(" \t");
      const bool line_start = end == std::string_view::npos
                                  ? at_ == 0 || text.size() < whole || At(at_ - 1) == '\n'
                                  : text[end] == '\n';
      if (line_start) text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
    }
    if (!text.empty()) Push(Kind::kData, std::string(text));
    CountLines(source_.substr(at_, tag - at_));
    at_ = tag;
  }

  void CountLines(std::string_view text) {
    line_ += static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  absl::Status Tag(size_t tag) {
    const char kind = source_[tag + 1];
    if (kind == '#') return Comment(tag);
    at_ = tag + 2;
    if (At(at_) == '-' || At(at_) == '+') ++at_;
    Push(kind == '{' ? Kind::kPrintBegin : Kind::kBlockBegin, "");
    const char close = kind == '{' ? '}' : '%';
    int open = 0;  // brackets, in which }} is no end
    while (true) {
      const size_t next = source_.find_first_not_of(kBlank, at_);
      if (next == std::string_view::npos) return ErrorAt(line_, "a {{ or {% that is not closed");
      CountLines(source_.substr(at_, next - at_));
      at_ = next;
      const char c = At(at_);
      const bool signed_end = (c == '-' || c == '+') && At(at_ + 1) == close && At(at_ + 2) == '}';
      if (open == 0 && (signed_end || (c == close && At(at_ + 1) == '}'))) {
        return Close(signed_end ? c : '\0', kind);
      }
      if (c == '(' || c == '[' || c == '{') ++open;
      if (c == ')' || c == ']' || c == '}') --open;
      LR_RETURN_IF_ERROR(One());
    }
  }

  absl::Status Close(char sign, char kind) {
    at_ += sign == '\0' ? 2 : 3;
    Push(kind == '{' ? Kind::kPrintEnd : Kind::kBlockEnd, "");
    strip_next_ = sign == '-';
    drop_newline_ = kind != '{' && sign != '+';
    return absl::OkStatus();
  }

  absl::Status Comment(size_t tag) {
    const size_t end = source_.find("#}", tag + 2);
    if (end == std::string_view::npos) return ErrorAt(line_, "a {# that is not closed");
    const char sign = end > tag + 2 ? source_[end - 1] : '\0';
    CountLines(source_.substr(tag, end + 2 - tag));
    at_ = end + 2;
    strip_next_ = sign == '-';
    drop_newline_ = sign != '+';
    return absl::OkStatus();
  }

  // One token of an expression.
  absl::Status One() {
    const char c = source_[at_];
    if (IsNameStart(c)) {
      size_t end = at_;
      while (IsNamePart(At(end))) ++end;
      Push(Kind::kName, std::string(source_.substr(at_, end - at_)));
      at_ = end;
      return absl::OkStatus();
    }
    if (IsDigit(c)) return Number();
    if (c == '"' || c == '\'') return Quoted(c);
    for (const std::string_view sign : {"**", "//", "==", "!=", "<=", ">="}) {
      if (source_.substr(at_, 2) == sign) {
        Push(Kind::kSign, std::string(sign));
        at_ += 2;
        return absl::OkStatus();
      }
    }
    if (std::string_view("+-*/%~|.,:()[]{}<>=").find(c) == std::string_view::npos)
      return ErrorAt(line_, absl::StrCat("an unexpected ", std::string(1, c)));
    Push(Kind::kSign, std::string(1, c));
    ++at_;
    return absl::OkStatus();
  }

  absl::Status Number() {
    size_t end = at_;
    while (IsDigit(At(end)) || At(end) == '_') ++end;
    const bool is_float = At(end) == '.' && IsDigit(At(end + 1));
    if (is_float) {
      ++end;
      while (IsDigit(At(end))) ++end;
    }
    if (IsNamePart(At(end))) return ErrorAt(line_, "a number runs into a name");
    std::string text(source_.substr(at_, end - at_));
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    if (text.size() > 18) return ErrorAt(line_, "a number of over 18 digits");
    Push(is_float ? Kind::kFloat : Kind::kInt, std::move(text));
    at_ = end;
    return absl::OkStatus();
  }

  absl::Status Quoted(char quote) {
    const int line = line_;
    std::string text;
    size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\n') ++line_;
      if (source_[i] == '\\' && i + 1 < source_.size()) {
        LR_RETURN_IF_ERROR(Escape(&i, &text));
      } else {
        text.push_back(source_[i++]);
      }
    }
    if (i >= source_.size()) return ErrorAt(line, "a text that is not closed");
    tokens_.push_back({Kind::kText, std::move(text), line});
    at_ = i + 1;
    return absl::OkStatus();
  }

  // As in Python; an unknown escape stays as it stands.
  absl::Status Escape(size_t* i, std::string* text) {
    const char c = source_[*i + 1];
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits > 0) {
      const std::string hex(source_.substr(*i + 2, digits));
      const bool all_hex = std::all_of(hex.begin(), hex.end(), [](char h) {
        return std::isxdigit(static_cast<unsigned char>(h)) != 0;
      });
      const uint64_t value =
          hex.size() == digits && all_hex ? std::strtoull(hex.c_str(), nullptr, 16) : ~uint64_t{0};
      if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return ErrorAt(line_, absl::StrCat("\\", std::string(1, c), hex, " is no character"));
      model::AppendUtf8(static_cast<uint32_t>(value), text);
      *i += 2 + digits;
      return absl::OkStatus();
    }
    constexpr std::string_view kFrom = "ntrfvba0\\'\"", kTo("\n\t\r\f\v\b\a\0\\'\"", 11);
    const size_t known = kFrom.find(c);
    if (known != std::string_view::npos) {
      text->push_back(kTo[known]);
    } else if (c != '\n') {  // an escaped newline continues the line
      text->push_back('\\');
      text->push_back(c);
    }
    *i += 2;
    return absl::OkStatus();
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool strip_next_ = false;
  bool drop_newline_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

absl::Status ErrorAt(int line, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", std::string(what)));
}

absl::Status AtLine(int line, const absl::Status& status) {
  if (status.message().substr(0, 5) == "line ") return status;
  return absl::Status(status.code(),
                      absl::StrCat("line ", line, ": ", std::string(status.message())));
}

absl::StatusOr<std::vector<Token>> Lex(std::string_view source) {
  // Jinja drops one newline at the end (keep_trailing_newline=False).
  if (!source.empty() && source.back() == '\n') source.remove_suffix(1);
  if (!source.empty() && source.back() == '\r') source.remove_suffix(1);
  return Lexer(source).Run();
}

}  // namespace longrun::serving::jinja
