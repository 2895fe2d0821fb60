#include "serving/grammar/pattern.h"

#include <fmt/core.h>

#include <map>
#include <utility>
#include <vector>

#include "model/utf8.h"
#include "serving/grammar/code_points.h"

namespace longrun::serving {
namespace {

constexpr int64_t kMostRepeats = 1000;
constexpr int kDeepestGroups = 50;
constexpr size_t kMostNodes = 20'000;

// A parsed expression: the nodes of a tree, children before their parents.
struct Node {
  enum Kind { kSet, kSequence, kAlternatives, kRepeat } kind = kSequence;
  CodePoints set;                // kSet
  std::vector<size_t> children;  // kRepeat: one
  int64_t fewest = 0;            // kRepeat
  int64_t most = -1;             // -1: any number
};

CodePoints Digit() { return {{'0', '9'}}; }
CodePoints Word() { return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
CodePoints White() {
  return Normal({{9, 13},
                 {32, 32},
                 {0xA0, 0xA0},
                 {0x1680, 0x1680},
                 {0x2000, 0x200A},
                 {0x2028, 0x2029},
                 {0x202F, 0x202F},
                 {0x205F, 0x205F},
                 {0x3000, 0x3000},
                 {0xFEFF, 0xFEFF}});
}
CodePoints LineEnds() { return {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}; }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  // The alternatives of the whole, each whether it is tied to the beginning and the end.
  struct Alternative {
    size_t node;
    bool from_beginning = false;
    bool to_end = false;
  };
  absl::StatusOr<std::vector<Alternative>> Whole() {
    std::vector<Alternative> alternatives;
    while (true) {
      Alternative alternative;
      alternative.from_beginning = Take('^');
      LR_ASSIGN_OR_RETURN(alternative.node, Sequence(0));
      alternative.to_end = Take('$');
      alternatives.push_back(alternative);
      if (Take('|')) continue;
      if (at_ == text_.size()) return alternatives;
      return Wrong(text_[at_] == ')' ? "a ) without its (" : "$ stands at the end alone");
    }
  }
  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  absl::Status Wrong(std::string_view what) const {
    return absl::InvalidArgumentError(fmt::format("at character {}: {}", at_, what));
  }
  bool Done() const { return at_ == text_.size(); }
  char Peek() const { return Done() ? '\0' : text_[at_]; }
  bool Take(char c) {
    if (Done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  size_t Add(Node node) {
    nodes_.push_back(std::move(node));
    return nodes_.size() - 1;
  }

  absl::StatusOr<size_t> Alternatives(int depth) {
    Node node{Node::kAlternatives};
    do {
      LR_ASSIGN_OR_RETURN(const size_t child, Sequence(depth));
      node.children.push_back(child);
    } while (Take('|'));
    return Add(std::move(node));
  }

  absl::StatusOr<size_t> Sequence(int depth) {
    Node node{Node::kSequence};
    while (!Done() && Peek() != '|' && Peek() != ')' && Peek() != '$') {
      LR_ASSIGN_OR_RETURN(size_t child, Atom(depth));
      LR_ASSIGN_OR_RETURN(child, Quantified(child));
      node.children.push_back(child);
      if (nodes_.size() > kMostNodes) return Wrong("the pattern is too long");
    }
    return Add(std::move(node));
  }

  absl::StatusOr<size_t> Quantified(size_t child) {
    Node node{Node::kRepeat};
    node.children = {child};
    if (Take('*')) {
    } else if (Take('+')) {
      node.fewest = 1;
    } else if (Take('?')) {
      node.most = 1;
    } else if (Take('{')) {
      LR_ASSIGN_OR_RETURN(node.fewest, Count());
      node.most = node.fewest;
      if (Take(',')) {
        node.most = -1;
        if (Peek() != '}') {
          LR_ASSIGN_OR_RETURN(node.most, Count());
          if (node.most < node.fewest) return Wrong("{n,m} with n over m");
        }
      }
      if (!Take('}')) return Wrong("{n}, {n,} or {n,m} is right");
    } else {
      return child;
    }
    Take('?');  // lazy: the same texts
    if (Peek() == '*' || Peek() == '+' || Peek() == '?' || Peek() == '{') {
      return Wrong("a quantifier follows another");
    }
    return Add(std::move(node));
  }

  absl::StatusOr<int64_t> Count() {
    int64_t count = -1;
    while (!Done() && Peek() >= '0' && Peek() <= '9') {
      count = (count < 0 ? 0 : count) * 10 + (text_[at_++] - '0');
      if (count > kMostRepeats) return Wrong("repeated more than 1000 times");
    }
    if (count < 0) return Wrong("{n}, {n,} or {n,m} is right; a { itself is \\{");
    return count;
  }

  absl::StatusOr<size_t> Atom(int depth) {
    if (Take('(')) {
      if (depth == kDeepestGroups) return Wrong("groups nested over 50 deep");
      if (Take('?') && !Take(':')) {
        return Wrong("(?:…) is the one kind of (?…) that is supported: no assertions or names");
      }
      LR_ASSIGN_OR_RETURN(const size_t inside, Alternatives(depth + 1));
      if (!Take(')')) return Wrong(Peek() == '$' ? "$ inside a group" : "a ( without its )");
      return inside;
    }
    if (Take('[')) {
      LR_ASSIGN_OR_RETURN(CodePoints set, Class());
      return Add({Node::kSet, std::move(set)});
    }
    if (Take('.')) return Add({Node::kSet, Complement(LineEnds())});
    if (Take('\\')) {
      LR_ASSIGN_OR_RETURN(CodePoints set, Escape());
      return Add({Node::kSet, std::move(set)});
    }
    if (std::string_view("^*+?{").find(Peek()) != std::string_view::npos) {
      return Wrong(
          fmt::format("{} has no place here; a {} itself is \\{}", Peek(), Peek(), Peek()));
    }
    LR_ASSIGN_OR_RETURN(const uint32_t c, Character());
    return Add({Node::kSet, {{c, c}}});
  }

  absl::StatusOr<uint32_t> Character() {
    const model::CodePoint c = model::FirstCodePoint(text_.substr(at_));
    if (c.bytes == 0) return Wrong("not UTF-8");
    at_ += static_cast<size_t>(c.bytes);
    return c.value;
  }

  absl::StatusOr<uint32_t> Hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = Peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return Wrong("\\xHH or \\uHHHH is right");
      value = value * 16 + static_cast<uint32_t>(digit);
      ++at_;
    }
    return value;
  }

  // After the backslash: a class of characters, or one.
  absl::StatusOr<CodePoints> Escape() {
    if (Done()) return Wrong("a \\ at the end");
    const char c = text_[at_++];
    const auto one = [](uint32_t value) { return CodePoints{{value, value}}; };
    switch (c) {
      case 'd':
        return Digit();
      case 'D':
        return Complement(Digit());
      case 'w':
        return Word();
      case 'W':
        return Complement(Word());
      case 's':
        return White();
      case 'S':
        return Complement(White());
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
      case 'u': {
        LR_ASSIGN_OR_RETURN(const uint32_t value, Hex(c == 'x' ? 2 : 4));
        if (value >= 0xD800 && value <= 0xDFFF) return Wrong("half a surrogate pair");
        return one(value);
      }
      default:
        break;
    }
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_letter || (c >= '0' && c <= '9') || static_cast<uint8_t>(c) >= 0x80) {
      return Wrong("this escape is not supported");
    }
    return one(static_cast<uint8_t>(c));
  }

  absl::StatusOr<CodePoints> Class() {
    const bool negated = Take('^');
    CodePoints set;
    while (!Take(']')) {
      if (Done()) return Wrong("a [ without its ]");
      LR_ASSIGN_OR_RETURN(CodePoints low, ClassMember());
      const bool range = Peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (range) {
        ++at_;
        LR_ASSIGN_OR_RETURN(const CodePoints high, ClassMember());
        if (low.size() != 1 || high.size() != 1 || low[0].first != low[0].second ||
            high[0].first != high[0].second || low[0].first > high[0].first) {
          return Wrong("not a range of characters");
        }
        low[0].second = high[0].first;
      }
      set.insert(set.end(), low.begin(), low.end());
      if (set.size() > kMostNodes) return Wrong("the class is too large");
    }
    set = Normal(std::move(set));
    return negated ? Complement(set) : set;
  }

  absl::StatusOr<CodePoints> ClassMember() {
    if (Done()) return Wrong("a [ without its ]");
    if (Take('\\')) {
      if (Take('b')) return CodePoints{{'\b', '\b'}};
      return Escape();
    }
    LR_ASSIGN_OR_RETURN(const uint32_t c, Character());
    return CodePoints{{c, c}};
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<Node> nodes_;
};

class Writer {
 public:
  Writer(const std::vector<Node>& nodes, GrammarBuilder* builder)
      : nodes_(nodes), builder_(builder) {}

  // The states that the node leads to from `from`.
  StateId Append(size_t index, StateId from) {
    const Node& node = nodes_[index];
    if (builder_->full()) return from;
    switch (node.kind) {
      case Node::kSet: {
        const StateId to = builder_->NewState();
        builder_->Call(from, RuleOf(node.set), to);
        return to;
      }
      case Node::kSequence: {
        // A state even for nothing: so that the bound on states bounds the work, too.
        StateId to = builder_->NewState();
        builder_->Empty(from, to);
        for (const size_t child : node.children) to = Append(child, to);
        return to;
      }
      case Node::kAlternatives: {
        const StateId to = builder_->NewState();
        for (const size_t child : node.children) builder_->Empty(Append(child, from), to);
        return to;
      }
      case Node::kRepeat:
        return Repeat(node, from);
    }
    return from;
  }

  RuleId RuleOf(const CodePoints& set) {
    const auto [it, is_new] = rules_.try_emplace(set);
    if (is_new) {
      const auto rule = builder_->NewRule();
      AppendEscapedOf(Normal(set), rule.start, rule.end, builder_);
      it->second = rule.id;
    }
    return it->second;
  }

 private:
  StateId Repeat(const Node& node, StateId from) {
    for (int64_t n = 0; n < node.fewest; ++n) from = Append(node.children[0], from);
    const StateId to = builder_->NewState();
    if (node.most < 0) {  // a state of its own, so that a loop cannot leave by another's way
      builder_->Empty(from, to);
      builder_->Empty(Append(node.children[0], to), to);
      return to;
    }
    for (int64_t n = node.fewest; n < node.most && !builder_->full(); ++n) {
      builder_->Empty(from, to);
      from = Append(node.children[0], from);
    }
    builder_->Empty(from, to);
    return to;
  }

  const std::vector<Node>& nodes_;
  GrammarBuilder* builder_;
  std::map<CodePoints, RuleId> rules_;
};

}  // namespace

absl::Status AppendPattern(std::string_view pattern, StateId from, StateId to,
                           GrammarBuilder* builder) {
  Parser parser(pattern);
  LR_ASSIGN_OR_RETURN(const auto alternatives, parser.Whole());
  Writer writer(parser.nodes(), builder);
  const CodePoints all = AllCodePoints();
  for (const Parser::Alternative& alternative : alternatives) {
    StateId begin = builder->NewState();
    builder->Empty(from, begin);
    if (!alternative.from_beginning) builder->Call(begin, writer.RuleOf(all), begin);
    const StateId matched = writer.Append(alternative.node, begin);
    const StateId end = builder->NewState();
    builder->Empty(matched, end);
    if (!alternative.to_end) builder->Call(end, writer.RuleOf(all), end);
    builder->Empty(end, to);
  }
  return absl::OkStatus();
}

}  // namespace longrun::serving
