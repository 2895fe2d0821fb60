// Sets of Unicode characters, and how one of a set is written inside a JSON string. Pure functions
// of any thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "serving/grammar/grammar.h"

namespace longrun::serving {

// Ranges of code points, both ends included; sorted, apart, without surrogates once Normal.
using CodePoints = std::vector<std::pair<uint32_t, uint32_t>>;

CodePoints Normal(CodePoints set);
CodePoints Complement(const CodePoints& normal);
inline CodePoints AllCodePoints() { return Complement({}); }

// From `from` to `to` over the UTF-8 of one of them.
void AppendUtf8Of(const CodePoints& normal, StateId from, StateId to, GrammarBuilder* builder);

// The same as a JSON string writes it: what must be escaped is, in its short form where it has one;
// nothing else is.
void AppendEscapedOf(const CodePoints& normal, StateId from, StateId to, GrammarBuilder* builder);

}  // namespace longrun::serving
