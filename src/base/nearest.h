// "Did you mean …": the known word that a mistyped one is nearest to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace longrun {

// The choice within a typing slip or two of `word` (letters added, left out, changed or swapped;
// case and the separators - and _ count for nothing), or "" when none is that near.
std::string NearestWord(std::string_view word, const std::vector<std::string>& choices);

// "; did you mean "ranks"?" or "".
std::string DidYouMean(std::string_view word, const std::vector<std::string>& choices);

}  // namespace longrun
