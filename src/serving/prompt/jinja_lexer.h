// A chat template's source to tokens, with Jinja's whitespace control as transformers sets it:
// the newline after a block is dropped (trim_blocks), and so are blanks between the beginning of a
// line and a block (lstrip_blocks).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::serving::jinja {

struct Token {
  enum class Kind {
    kData,
    kName,
    kInt,
    kFloat,
    kText,
    kSign,
    kBlockBegin,
    kBlockEnd,
    kPrintBegin,
    kPrintEnd,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;  // of a text: with its escapes resolved
  int line = 0;
};

// The last token is kEnd. InvalidArgument names the line.
absl::StatusOr<std::vector<Token>> Lex(std::string_view source);

absl::Status ErrorAt(int line, std::string_view what);
// The error with its line, unless it names one already.
absl::Status AtLine(int line, const absl::Status& status);

}  // namespace longrun::serving::jinja
