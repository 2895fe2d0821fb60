// Regular expressions of JSON schemas (ECMA-262's, of which this is a part) to grammar. What is
// read: characters, `.`, classes [a-z] [^…], \d \w \s and their opposites, \t \n \r \f \v \xHH
// \uHHHH, escaped symbols, groups (…) and (?:…), alternatives, * + ? {n} {n,} {n,m}, ^ at the
// beginning and $ at the end of the whole or of an alternative of the whole. Without ^ or $ a
// string may hold anything before or after the match, as JSON schema has it. The rest is refused:
// assertions, back references, \b, \p, names. A lazy quantifier means the same texts as a greedy.
#pragma once

#include <string_view>

#include "base/status.h"
#include "serving/grammar/grammar.h"

namespace longrun::serving {

// From `from` to `to` over the inside of a JSON string that the pattern matches, escaped only where
// it must be. InvalidArgument says what is wrong and where in the pattern.
absl::Status AppendPattern(std::string_view pattern, StateId from, StateId to,
                           GrammarBuilder* builder);

}  // namespace longrun::serving
