#include "serving/grammar/code_points.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "model/utf8.h"

namespace longrun::serving {
namespace {

constexpr uint32_t kLast = 0x10FFFF;
constexpr uint32_t kFirstSurrogate = 0xD800;
constexpr uint32_t kLastSurrogate = 0xDFFF;

// A range whose ends have UTF-8 of the same length becomes sequences of byte ranges: cut where all
// continuation bytes begin or end their ranges.
void AppendSameLength(uint32_t low, uint32_t high, StateId from, StateId to,
                      GrammarBuilder* builder) {
  std::string first, last;
  model::AppendUtf8(low, &first);
  model::AppendUtf8(high, &last);
  for (size_t tail = 1; tail < first.size(); ++tail) {
    const uint32_t mask = (1u << (6 * tail)) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      AppendSameLength(low, low | mask, from, to, builder);
      return AppendSameLength((low | mask) + 1, high, from, to, builder);
    }
    if ((high & mask) != mask) {
      AppendSameLength(low, (high & ~mask) - 1, from, to, builder);
      return AppendSameLength(high & ~mask, high, from, to, builder);
    }
  }
  for (size_t i = 0; i < first.size(); ++i) {
    const StateId next = i + 1 == first.size() ? to : builder->NewState();
    builder->Bytes(from, static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i]), next);
    from = next;
  }
}

CodePoints Intersection(const CodePoints& a, const CodePoints& b) {
  CodePoints out;
  for (const auto& [a_low, a_high] : a) {
    for (const auto& [b_low, b_high] : b) {
      const uint32_t low = std::max(a_low, b_low);
      const uint32_t high = std::min(a_high, b_high);
      if (low <= high) out.emplace_back(low, high);
    }
  }
  return out;
}

bool Contains(const CodePoints& set, uint32_t c) {
  return std::any_of(set.begin(), set.end(),
                     [&](const auto& range) { return range.first <= c && c <= range.second; });
}

// How JSON writes a character that cannot stand for itself.
std::string Escaped(uint32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", c);
  }
}

}  // namespace

CodePoints Normal(CodePoints set) {
  std::sort(set.begin(), set.end());
  CodePoints merged;
  for (const auto& [low, high] : set) {
    if (low > high || low > kLast) continue;
    const uint32_t end = std::min(high, kLast);
    if (!merged.empty() && low <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, end);
    } else {
      merged.emplace_back(low, end);
    }
  }
  return Intersection(merged, {{0, kFirstSurrogate - 1}, {kLastSurrogate + 1, kLast}});
}

CodePoints Complement(const CodePoints& normal) {
  CodePoints out;
  uint32_t next = 0;
  for (const auto& [low, high] : normal) {
    if (low > next) out.emplace_back(next, low - 1);
    next = high + 1;
  }
  if (next <= kLast) out.emplace_back(next, kLast);
  return Normal(std::move(out));
}

void AppendUtf8Of(const CodePoints& normal, StateId from, StateId to, GrammarBuilder* builder) {
  const CodePoints lengths = {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, kLast}};
  for (const auto& [low, high] : Intersection(normal, lengths)) {
    AppendSameLength(low, high, from, to, builder);
  }
}

void AppendEscapedOf(const CodePoints& normal, StateId from, StateId to, GrammarBuilder* builder) {
  const CodePoints plain = Complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  AppendUtf8Of(Intersection(normal, plain), from, to, builder);
  for (uint32_t c = 0; c <= '\\'; ++c) {
    if (!Contains(plain, c) && Contains(normal, c)) builder->Literal(from, Escaped(c), to);
  }
}

}  // namespace longrun::serving
