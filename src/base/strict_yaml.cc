#include "base/strict_yaml.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/nearest.h"
#include "base/units.h"

namespace longrun {
namespace {

constexpr size_t kMistakesShown = 20;

const YamlNode& NullNode() {
  static const YamlNode node;
  return node;
}

const char* KindName(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "";
}

// Short enough for a message and without characters that move the cursor.
std::string Printable(const std::string& text, size_t longest) {
  std::string out;
  for (const char c : text.substr(0, longest)) out.push_back(absl::ascii_iscntrl(c) ? ' ' : c);
  // Not within a character of several bytes.
  while (text.size() > longest && !out.empty() && (out.back() & 0x80) != 0) out.pop_back();
  return text.size() > longest ? out + "…" : out;
}

// What stands in the file.
std::string Shown(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar) return KindName(node.kind);
  const std::string text = Printable(node.text, 40);
  return node.quoted || text.empty() ? absl::StrCat("\"", text, "\"") : text;
}

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// A whole number as YAML 1.2's core schema has it, in decimal.
bool IsWholeNumber(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return IsDigits(text);
}

bool IsNumber(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text == ".inf" || text == ".nan") return true;
  if (text.substr(0, 2) == "0x" || text.substr(0, 2) == "0o") {
    return text.size() > 2 && std::all_of(text.begin() + 2, text.end(), absl::ascii_isxdigit);
  }
  const size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    if (!IsWholeNumber(text.substr(e + 1))) return false;
    text = text.substr(0, e);
  }
  const size_t point = text.find('.');
  if (point == std::string_view::npos) return IsDigits(text);
  const std::string_view before = text.substr(0, point);
  const std::string_view after = text.substr(point + 1);
  return (before.empty() || IsDigits(before)) && (after.empty() || IsDigits(after)) &&
         !(before.empty() && after.empty());
}

// What a reader would take a plain scalar for, other than text; "" for text. yes, no, on and off
// are booleans to YAML 1.1, which kubectl follows: the same file must mean the same everywhere.
std::string OtherThanText(const YamlNode& node) {
  if (node.quoted) return "";
  const std::string lower = absl::AsciiStrToLower(node.text);
  for (const char* word : {"true", "false", "yes", "no", "on", "off"}) {
    if (lower == word) return "a truth value";
  }
  return IsNumber(lower) ? "a number" : "";
}

}  // namespace

void YamlErrors::Add(int line, const std::string& field, const std::string& what) {
  std::string text = name_;
  if (line > 0) absl::StrAppend(&text, ":", line);
  // A field's name is the file's too.
  absl::StrAppend(&text, ": ", Printable(field, 120), field.empty() ? "" : ": ", what);
  mistakes_.emplace_back(line, std::move(text));
}

absl::Status YamlErrors::ToStatus() const {
  if (ok()) return absl::OkStatus();
  std::vector<std::pair<int, std::string>> sorted = mistakes_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> lines;
  for (size_t i = 0; i < sorted.size() && i < kMistakesShown; ++i) {
    lines.push_back(std::move(sorted[i].second));
  }
  if (sorted.size() > kMistakesShown) {
    lines.push_back(absl::StrCat("and ", sorted.size() - kMistakesShown, " more mistakes"));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

YamlMap::YamlMap(const YamlNode& node, std::string path, YamlErrors* errors)
    : node_(&node), path_(std::move(path)), errors_(errors), line_(node.line) {
  if (node.kind == YamlNode::Kind::kMap || node.kind == YamlNode::Kind::kNull) return;
  errors_->Add(node.line, path_,
               absl::StrCat(Shown(node), " stands where a map (key: value) is right"));
  // What the map lacks is not worth a complaint when there is no map.
  muted_ = true;
  node_ = &NullNode();
}

const YamlNode* YamlMap::Find(const std::string& key) const {
  for (const auto& [name, value] : node_->entries) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool YamlMap::Has(const std::string& key) const {
  const YamlNode* node = Find(key);
  return node != nullptr && node->kind != YamlNode::Kind::kNull;
}

const YamlNode* YamlMap::Node(const std::string& key) {
  asked_.insert(key);
  return Has(key) ? Find(key) : nullptr;
}

const YamlNode* YamlMap::Scalar(const std::string& key) {
  const YamlNode* node = Node(key);
  if (node == nullptr || node->kind == YamlNode::Kind::kScalar) return node;
  Error(key, absl::StrCat(Shown(*node), " stands where a single value is right"));
  return nullptr;
}

int64_t YamlMap::Int(const std::string& key, int64_t otherwise, int64_t lo, int64_t hi) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  const std::string range = absl::StrCat(lo, " to ", hi);
  if (node->quoted || !IsWholeNumber(node->text)) {
    Error(key, absl::StrCat(Shown(*node), " is no whole number; ", range, " is right"));
    return otherwise;
  }
  int64_t value = 0;
  // Digits that do not fit 64 bits are out of any range.
  if (!absl::SimpleAtoi(node->text, &value) || value < lo || value > hi) {
    Error(key, absl::StrCat(Shown(*node), " is out of range; ", range, " is right"));
    return otherwise;
  }
  return value;
}

double YamlMap::Double(const std::string& key, double otherwise, double lo, double hi) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  const std::string range = absl::StrCat(lo, " to ", hi);
  double value = 0;
  if (node->quoted || !IsNumber(node->text) || !absl::SimpleAtod(node->text, &value)) {
    Error(key, absl::StrCat(Shown(*node), " is no number; ", range, " is right"));
    return otherwise;
  }
  if (!(value >= lo && value <= hi)) {
    Error(key, absl::StrCat(Shown(*node), " is out of range; ", range, " is right"));
    return otherwise;
  }
  return value;
}

bool YamlMap::Bool(const std::string& key, bool otherwise) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  if (!node->quoted && (node->text == "true" || node->text == "false")) {
    return node->text == "true";
  }
  Error(key, absl::StrCat(Shown(*node), " is no truth value; true or false is right"));
  return otherwise;
}

std::string YamlMap::String(const std::string& key, const std::string& otherwise) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  const std::string other = OtherThanText(*node);
  if (other.empty()) return node->text;
  Error(key, absl::StrCat(Shown(*node), " reads as ", other, " where text is right; write \"",
                          node->text, "\""));
  return otherwise;
}

std::string YamlMap::Required(const std::string& key) {
  const YamlNode* node = Node(key);
  if (node == nullptr) {
    if (!muted_) Error(key, "is missing");
    return "";
  }
  if (node->kind == YamlNode::Kind::kScalar && node->text.empty()) {
    Error(key, "is empty");
    return "";
  }
  return String(key, "");
}

std::string YamlMap::Choice(const std::string& key, const std::string& otherwise,
                            const std::vector<std::string>& choices) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  if (std::find(choices.begin(), choices.end(), node->text) != choices.end()) return node->text;
  Error(key, absl::StrCat(Shown(*node), " is none of ", absl::StrJoin(choices, ", "),
                          DidYouMean(node->text, choices)));
  return otherwise;
}

Duration YamlMap::Time(const std::string& key, Duration otherwise) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  const absl::StatusOr<Duration> value = ParseDuration(node->text);
  if (value.ok()) return *value;
  Error(key, absl::StrCat(Shown(*node),
                          " is no duration; write for example 250ms, 90s, 5m, 2h or 2h30m"));
  return otherwise;
}

int64_t YamlMap::Bytes(const std::string& key, int64_t otherwise) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  const absl::StatusOr<int64_t> value = ParseBytes(node->text);
  if (value.ok()) return *value;
  Error(key, absl::StrCat(Shown(*node), " is no amount of bytes; write for example 512Mi or 2Gi"));
  return otherwise;
}

int64_t YamlMap::MilliCpu(const std::string& key, int64_t otherwise) {
  const YamlNode* node = Scalar(key);
  if (node == nullptr) return otherwise;
  const absl::StatusOr<int64_t> value = ParseMilliCpu(node->text);
  if (value.ok()) return *value;
  Error(key, absl::StrCat(Shown(*node), " is no amount of CPU; write for example 2 or 500m"));
  return otherwise;
}

std::vector<std::string> YamlMap::Strings(const std::string& key) {
  const YamlNode* node = Node(key);
  if (node == nullptr) return {};
  if (node->kind != YamlNode::Kind::kSequence) {
    Error(key,
          absl::StrCat(Shown(*node), " stands where a list of texts is right, for example [a, b]"));
    return {};
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < node->items.size(); ++i) {
    const YamlNode& item = node->items[i];
    const std::string path = absl::StrCat(PathOf(key), "[", i, "]");
    if (item.kind != YamlNode::Kind::kScalar) {
      errors_->Add(item.line, path, absl::StrCat(Shown(item), " stands where text is right"));
    } else if (const std::string other = OtherThanText(item); !other.empty()) {
      errors_->Add(item.line, path,
                   absl::StrCat(Shown(item), " reads as ", other, " where text is right; write \"",
                                item.text, "\""));
    } else {
      texts.push_back(item.text);
    }
  }
  return texts;
}

std::vector<std::pair<std::string, std::string>> YamlMap::StringMap(const std::string& key) {
  const YamlNode* node = Node(key);
  if (node == nullptr) return {};
  if (node->kind != YamlNode::Kind::kMap) {
    Error(key,
          absl::StrCat(Shown(*node), " stands where a map of texts is right, for example {a: b}"));
    return {};
  }
  std::vector<std::pair<std::string, std::string>> texts;
  for (const auto& [name, value] : node->entries) {
    if (value.kind == YamlNode::Kind::kScalar) {
      texts.emplace_back(name, value.text);
    } else {
      errors_->Add(value.line, absl::StrCat(PathOf(key), ".", name),
                   absl::StrCat(Shown(value), " stands where text is right"));
    }
  }
  return texts;
}

YamlMap YamlMap::Map(const std::string& key) {
  const YamlNode* node = Node(key);
  if (node != nullptr) return YamlMap(*node, PathOf(key), errors_);
  YamlMap empty(NullNode(), PathOf(key), errors_);
  const YamlNode* null = Find(key);
  empty.line_ = null != nullptr ? null->line : line_;
  empty.muted_ = muted_;
  return empty;
}

void YamlMap::Error(const std::string& key, const std::string& what) {
  const YamlNode* node = Find(key);
  errors_->Add(node == nullptr ? line_ : node->line, PathOf(key), what);
}

void YamlMap::Done() {
  const std::vector<std::string> known(asked_.begin(), asked_.end());
  for (const auto& [name, value] : node_->entries) {
    if (asked_.count(name) > 0) continue;
    const std::string near = DidYouMean(name, known);
    errors_->Add(value.line, PathOf(name),
                 near.empty()
                     ? absl::StrCat("unknown field; known here: ", absl::StrJoin(known, ", "))
                     : absl::StrCat("unknown field", near));
  }
}

std::string YamlMap::PathOf(const std::string& key) const {
  return path_.empty() ? key : absl::StrCat(path_, ".", key);
}

int YamlMap::line() const { return line_; }

}  // namespace longrun
