#include "serving/grammar/json_rules.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "model/utf8.h"
#include "serving/grammar/code_points.h"

namespace longrun::serving {
namespace {

constexpr int kMostIndent = 40;
constexpr int64_t kMostFraction = 17;
constexpr int64_t kLargestWhole = 999'999'999'999'999'999;

}  // namespace

JsonRules::JsonRules(GrammarBuilder* builder) : builder_(builder) {
  MakeSpace();
  MakeCharacter();
  MakeValue();
}

void JsonRules::MakeSpace() {
  const auto rule = builder_->NewRule();
  space_ = rule.id;
  builder_->Empty(rule.start, rule.end);
  builder_->Bytes(rule.start, ' ', ' ', rule.end);
  StateId at = builder_->NewState();
  builder_->Bytes(rule.start, '\n', '\n', at);
  for (int i = 0; i <= kMostIndent; ++i) {
    builder_->Empty(at, rule.end);
    if (i == kMostIndent) break;
    const StateId next = builder_->NewState();
    builder_->Bytes(at, ' ', ' ', next);
    builder_->Bytes(at, '\t', '\t', next);
    at = next;
  }
}

// One character of a string, escaped in any way that JSON knows; surrogates in pairs alone.
void JsonRules::MakeCharacter() {
  GrammarBuilder& b = *builder_;
  const auto rule = b.NewRule();
  character_ = rule.id;
  AppendUtf8Of(Complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}), rule.start, rule.end, builder_);
  const StateId escape = b.Literal(rule.start, "\\");
  for (const char c : std::string("\"\\/bfnrt")) b.Literal(escape, {&c, 1}, rule.end);
  const auto hex = [&](StateId from, StateId to) {
    b.Bytes(from, '0', '9', to);
    b.Bytes(from, 'a', 'f', to);
    b.Bytes(from, 'A', 'F', to);
  };
  const auto d = [&](StateId from) {  // d or D
    const StateId to = b.NewState();
    b.Bytes(from, 'd', 'd', to);
    b.Bytes(from, 'D', 'D', to);
    return to;
  };
  const StateId first = b.Literal(escape, "u");
  const StateId second = b.NewState(), third = b.NewState(), fourth = b.NewState();
  b.Bytes(first, '0', '9', second);
  for (const char c : std::string("abcefABCEF")) {
    b.Bytes(first, static_cast<uint8_t>(c), static_cast<uint8_t>(c), second);
  }
  hex(second, third);
  const StateId after_d = d(first);
  b.Bytes(after_d, '0', '7', third);
  hex(third, fourth);
  hex(fourth, rule.end);
  // \uD8xx to \uDBxx and then \uDCxx to \uDFxx.
  const StateId high_third = b.NewState(), high_fourth = b.NewState(), paired = b.NewState();
  b.Bytes(after_d, '8', '9', high_third);
  b.Bytes(after_d, 'a', 'b', high_third);
  b.Bytes(after_d, 'A', 'B', high_third);
  hex(high_third, high_fourth);
  hex(high_fourth, paired);
  const StateId low_second = d(b.Literal(paired, "\\u"));
  b.Bytes(low_second, 'c', 'f', third);
  b.Bytes(low_second, 'C', 'F', third);
}

void JsonRules::MakeValue() {
  const auto rule = builder_->NewRule();
  value_ = rule.id;
  String(0, kNever, rule.start, rule.end);
  AnyNumber(rule.start, rule.end);
  OneOf({"true", "false", "null"}, rule.start, rule.end);
  AnyObject(rule.start, rule.end);
  AnyArray(rule.start, rule.end);
}

void JsonRules::AnyObject(StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  const StateId key = b.NewState(), after_key = b.NewState(), value = b.NewState(),
                after_value = b.NewState(), close = b.NewState(), open = b.NewState();
  Space(b.Literal(from, "{"), open);
  b.Literal(open, "}", to);
  b.Empty(open, key);
  String(0, kNever, key, after_key);
  Space(b.Literal(after_key, ":"), value);
  AnyValue(value, after_value);
  Space(b.Literal(after_value, ","), key);
  Space(after_value, close);
  b.Literal(close, "}", to);
}

void JsonRules::AnyArray(StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  const StateId open = b.NewState(), item = b.NewState(), after = b.NewState(),
                close = b.NewState();
  Space(b.Literal(from, "["), open);
  b.Literal(open, "]", to);
  b.Empty(open, item);
  AnyValue(item, after);
  Space(b.Literal(after, ","), item);
  Space(after, close);
  b.Literal(close, "]", to);
}

void JsonRules::String(int32_t shortest, int32_t longest, StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  StateId at = b.Literal(from, "\"");
  for (int32_t n = 0; n < shortest && !b.full(); ++n) {
    const StateId next = b.NewState();
    b.SetFreeCharacters(at, longest == kNever ? kNever : longest - n);
    b.Call(at, character_, next);
    at = next;
  }
  for (int32_t n = shortest; n < longest && longest != kNever && !b.full(); ++n) {
    const StateId next = b.NewState();
    b.SetFreeCharacters(at, longest - n);
    b.Bytes(at, '"', '"', to);
    b.Call(at, character_, next);
    at = next;
  }
  if (longest == kNever) {
    b.Call(at, character_, at);
  }
  b.SetFreeCharacters(at, longest == kNever ? kNever : 0);
  b.Literal(at, "\"", to);
}

// A tree of the names' bytes; where a text leaves it, any string may follow, and where a name ends
// the string may not.
void JsonRules::OtherKey(const std::set<std::string>& names, StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  const CodePoints plain = Complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  const auto any = b.NewRule();  // one character without escape
  AppendUtf8Of(plain, any.start, any.end, builder_);
  const StateId free = b.NewState();
  b.SetFreeCharacters(free, kNever);
  b.Call(free, any.id, free);
  b.Literal(free, "\"", to);

  struct Node {
    StateId state;
    bool is_name = false;
    std::map<uint32_t, size_t> children;  // by code point
  };
  std::vector<Node> nodes = {{b.Literal(from, "\"")}};
  for (const std::string& name : names) {
    size_t at = 0;
    std::string_view rest = name;
    while (!rest.empty()) {
      const model::CodePoint c = model::FirstCodePoint(rest);
      LR_CHECK_GT(c.bytes, 0);
      rest.remove_prefix(static_cast<size_t>(c.bytes));
      const auto [it, is_new] = nodes[at].children.try_emplace(c.value, nodes.size());
      at = it->second;
      if (is_new) nodes.push_back({b.NewState()});
    }
    nodes[at].is_name = true;
  }
  for (const Node& node : nodes) {
    CodePoints known;
    for (const auto& [c, child] : node.children) {
      known.emplace_back(c, c);
      // A character that would be escaped leads nowhere: keys are written without escapes.
      if (c >= 0x20 && c != '"' && c != '\\') {
        AppendUtf8Of({{c, c}}, node.state, nodes[child].state, builder_);
      }
    }
    known.insert(known.end(), {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
    AppendUtf8Of(Complement(Normal(known)), node.state, free, builder_);
    if (!node.is_name) b.Literal(node.state, "\"", to);
  }
}

void JsonRules::Digits(int64_t fewest, int64_t most, StateId from, StateId to) {
  for (int64_t n = 0; n <= most; ++n) {
    if (n >= fewest) builder_->Empty(from, to);
    if (n == most) break;
    const StateId next = builder_->NewState();
    builder_->Bytes(from, '0', '9', next);
    from = next;
  }
}

void JsonRules::AnyNumber(StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  const StateId whole = b.NewState(), after_whole = b.NewState(), after_point = b.NewState(),
                exponent = b.NewState();
  b.Empty(from, whole);
  b.Literal(from, "-", whole);
  Whole(0, kLargestWhole, whole, after_whole);
  b.Empty(after_whole, after_point);
  Digits(1, kMostFraction, b.Literal(after_whole, "."), after_point);
  b.Empty(after_point, to);
  b.Bytes(after_point, 'e', 'e', exponent);
  b.Bytes(after_point, 'E', 'E', exponent);
  Digits(1, 2, exponent, to);
  Digits(1, 2, b.Literal(exponent, "+"), to);
  Digits(1, 2, b.Literal(exponent, "-"), to);
}

// The decimal numbers from low to high, 0 <= low, without leading zeros.
void JsonRules::Whole(int64_t low, int64_t high, StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  high = std::min(high, kLargestWhole);
  if (low > high) return;
  int64_t ten = 1;  // the smallest number of so many digits
  for (size_t digits = 1; digits <= 18; ++digits, ten *= 10) {
    const int64_t first = std::max(low, digits == 1 ? 0 : ten);
    const int64_t last = std::min(high, ten * 10 - 1);
    if (first > last) continue;
    const std::string least = std::to_string(first), most = std::to_string(last);
    // A state for each digit and whether what came so far equals that of least, of most, of both.
    std::map<std::pair<bool, bool>, StateId> states = {{{true, true}, from}};
    for (size_t i = 0; i < digits; ++i) {
      std::map<std::pair<bool, bool>, StateId> next;
      for (const auto& [bound, state] : states) {
        const char lowest = bound.first ? least[i] : '0';
        const char highest = bound.second ? most[i] : '9';
        for (char d = lowest; d <= highest; ++d) {
          const std::pair<bool, bool> after = {bound.first && d == lowest,
                                               bound.second && d == highest};
          auto [it, is_new] = next.try_emplace(after, to);
          if (is_new && i + 1 < digits) it->second = b.NewState();
          b.Bytes(state, static_cast<uint8_t>(d), static_cast<uint8_t>(d), it->second);
        }
      }
      states = std::move(next);
    }
  }
}

// Numbers from low (at least 0) to high.
void JsonRules::Magnitude(const NumberRange& range, StateId from, StateId to) {
  GrammarBuilder& b = *builder_;
  const int64_t low = *range.low;
  const int64_t high = range.high.value_or(kLargestWhole + 1);
  if (range.whole) {
    return Whole(low + (range.low_excluded ? 1 : 0), high - (range.high_excluded ? 1 : 0), from,
                 to);
  }
  if (low > high) return;
  // Whole parts below `high` take any fraction; `high` itself none but zeros; and `low`, where it
  // is excluded, one that is not all zeros.
  const StateId inside = b.NewState();
  Whole(low + (range.low_excluded ? 1 : 0), high - 1, from, inside);
  b.Empty(inside, to);
  Digits(1, kMostFraction, b.Literal(inside, "."), to);
  if (range.low_excluded && low < high) {
    const StateId at_low = b.NewState(), zeros = b.NewState();
    Whole(low, low, from, at_low);
    b.Literal(at_low, ".", zeros);
    StateId zero = zeros;
    for (int64_t n = 1; n <= kMostFraction; ++n) {
      const StateId nonzero = b.NewState(), next = b.NewState();
      b.Bytes(zero, '1', '9', nonzero);
      Digits(0, kMostFraction - n, nonzero, to);
      b.Bytes(zero, '0', '0', next);
      zero = next;
    }
  }
  const bool high_counts =
      range.high.has_value() && !range.high_excluded && (high > low || !range.low_excluded);
  if (high_counts) {
    const StateId at_high = b.NewState();
    Whole(high, high, from, at_high);
    b.Empty(at_high, to);
    b.Literal(at_high, ".0", to);
  }
}

void JsonRules::Number(const NumberRange& range, StateId from, StateId to) {
  if (!range.whole && !range.low.has_value() && !range.high.has_value()) {
    return AnyNumber(from, to);
  }
  NumberRange positive = range;
  if (!range.low.has_value() || *range.low < 0) {
    positive.low = 0;
    positive.low_excluded = false;
  }
  Magnitude(positive, from, to);
  // Below zero: the same, mirrored; zero itself has no sign.
  NumberRange negative = {.whole = range.whole, .low = 0, .low_excluded = true};
  if (range.high.has_value() && *range.high < 0) {
    negative.low = -*range.high;
    negative.low_excluded = range.high_excluded;
  }
  if (range.low.has_value()) {
    if (*range.low >= 0) return;
    negative.high = -*range.low;
    negative.high_excluded = range.low_excluded;
  }
  Magnitude(negative, builder_->Literal(from, "-"), to);
}

void JsonRules::OneOf(const std::set<std::string>& texts, StateId from, StateId to) {
  std::vector<StateId> path = {from};  // after each byte: texts that begin alike share states
  std::string_view before;
  for (const std::string& text : texts) {
    const auto differ = std::mismatch(before.begin(), before.end(), text.begin(), text.end());
    path.resize(static_cast<size_t>(differ.first - before.begin()) + 1);
    for (size_t n = path.size() - 1; n < text.size() && !builder_->full(); ++n) {
      path.push_back(builder_->NewState());
      const auto byte = static_cast<uint8_t>(text[n]);
      builder_->Bytes(path[n], byte, byte, path[n + 1]);
    }
    builder_->Empty(path.back(), to);
    before = text;
  }
}

}  // namespace longrun::serving
