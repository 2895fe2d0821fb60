// ParseYaml: yaml-cpp's stream of events to YamlNodes, refusing what configuration has no use for.
#include <algorithm>
#include <sstream>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/strict_yaml.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace longrun {
namespace {

constexpr size_t kDepthLimit = 32;

// Thrown through yaml-cpp, which has no other way to be stopped, and caught in ParseYaml.
struct Refused {
  int line;
  std::string what;
};

// Builds the tree. `open_` holds the collections being filled; a node is moved into its parent when
// it is complete, so that no pointer into a growing vector is kept.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlErrors* errors) : errors_(errors) {}

  YamlNode Take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    YamlNode node;
    node.line = mark.line + 1;
    if (AwaitsKey()) throw Refused{node.line, "a key is missing before the colon"};
    Complete(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { RefuseAnchor(mark, 1); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    // "?" is a plain scalar, "!" a quoted one, anything else was written by hand.
    if (tag != "?" && tag != "!" && !tag.empty()) RefuseTag(mark, tag);
    const int line = mark.line + 1;
    if (value.find('\0') != std::string::npos) {
      throw Refused{line, "a NUL character has no place in text"};
    }
    if (AwaitsKey()) {
      TakeKey(line, value);
      return;
    }
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.line = line;
    node.text = value;
    node.quoted = tag == "!";
    Complete(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    YamlNode node;
    absl::flat_hash_set<std::string> keys;
    std::string key;  // whose value comes next
    int key_line = 0;
    bool has_key = false;
  };

  static void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor == 0) return;
    throw Refused{mark.line + 1,
                  "anchors and aliases (&name, *name) are not read here; write the value out where "
                  "it is used, in quotes if it is text that begins with & or *"};
  }

  static void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    throw Refused{mark.line + 1,
                  absl::StrCat("tags (", tag.substr(0, 40),
                               ") are not read here; write the value alone, in quotes if it is "
                               "text")};
  }

  bool AwaitsKey() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap &&
           !open_.back().has_key;
  }

  void TakeKey(int line, const std::string& key) {
    Frame& frame = open_.back();
    if (!frame.keys.insert(key).second) {
      errors_->Add(line, "",
                   absl::StrCat("\"", key.substr(0, 60), "\" stands here a second time; ",
                                "keep one of the two"));
    }
    frame.key = key;
    frame.key_line = line;
    frame.has_key = true;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    RefuseAnchor(mark, anchor);
    if (tag != "?" && tag != "!" && !tag.empty()) RefuseTag(mark, tag);
    const int line = mark.line + 1;
    if (AwaitsKey()) throw Refused{line, "a key must be text, not a list or a map"};
    if (open_.size() >= kDepthLimit) {
      throw Refused{line, absl::StrCat("nested deeper than ", kDepthLimit, " levels")};
    }
    Frame& frame = open_.emplace_back();
    frame.node.kind = kind;
    frame.node.line = line;
  }

  void Close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    Complete(std::move(node));
  }

  void Complete(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kSequence) {
      parent.node.items.push_back(std::move(node));
      return;
    }
    // A mistake in a value is looked for where its field's name stands.
    node.line = parent.key_line;
    parent.node.entries.push_back({std::move(parent.key), std::move(node)});
    parent.has_key = false;
  }

  YamlErrors* errors_;
  std::vector<Frame> open_;
  YamlNode root_;
};

// Bytes of the UTF-8 sequence at the front of `text`, or 0 where there is none (RFC 3629).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t n = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < n) return 0;
  for (size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) > 0x9F;
  const bool too_high = first == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || too_high ? 0 : n;
}

// The first thing that makes `text` no text: its line and what it is.
absl::Status CheckText(std::string_view text, const std::string& name) {
  int line = 1;
  while (!text.empty()) {
    const size_t n = Utf8Length(text);
    const uint8_t c = static_cast<uint8_t>(text.front());
    if (n == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ":", line, ": this is not UTF-8 text; save the file as UTF-8"));
    }
    if (c == 0 || c == 127 || (c < 32 && c != '\t' && c != '\n' && c != '\r')) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ":", line, ": the control character ", c, c == 0 ? " (NUL)" : "",
                       " has no place in text; is this a binary file?"));
    }
    if (c == '\n') ++line;
    text.remove_prefix(n);
  }
  return absl::OkStatus();
}

// Whether a tab is in what indents the line, counted from 0.
bool TabIndents(std::string_view text, int line) {
  for (; line > 0; --line) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  return text.substr(0, text.find_first_not_of(" \t")).find('\t') != text.npos;
}

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(std::string_view text, const std::string& name) {
  if (static_cast<int64_t>(text.size()) > kYamlSizeLimit) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", text.size(),
                                                   " bytes; configuration has at most ",
                                                   kYamlSizeLimit, ". Is this the right file?"));
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  LR_RETURN_IF_ERROR(CheckText(text, name));
  YamlErrors errors(name);
  TreeBuilder builder(&errors);
  YamlNode root;
  try {
    // yaml-cpp lets the end of the file close a quoted text; the end of a document does not.
    std::istringstream in(absl::StrCat(std::string(text), "\n...\n"));
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    root = builder.Take();
    TreeBuilder second(&errors);
    if (parser.HandleNextDocument(second)) {
      errors.Add(0, "", "more than one document; keep one, and put others into files of their own");
    }
  } catch (const Refused& refused) {
    errors.Add(refused.line, "", refused.what);
  } catch (const YAML::Exception& e) {
    const int line = e.mark.is_null() ? -1 : e.mark.line;
    errors.Add(
        line + 1, "",
        absl::StrCat(
            "not YAML: ", e.msg,
            TabIndents(text, line) ? "; a tab indents this line, where YAML wants spaces" : ""));
  } catch (const std::exception& e) {
    errors.Add(0, "", absl::StrCat("not YAML: ", e.what()));
  }
  if (!errors.ok()) return errors.ToStatus();
  return root;
}

}  // namespace longrun
