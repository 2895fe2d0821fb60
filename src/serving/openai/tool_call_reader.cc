#include "serving/openai/tool_call_reader.h"

#include <utility>

#include "model/strict_json.h"

namespace longrun::serving {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kBlanks = " \t\r\n";
// What is looked at again with each byte is short, whatever the model writes.
constexpr size_t kLongestHead = 1024;
constexpr size_t kMostBlanks = 1024;
constexpr size_t kMostHeld = 64 << 10;  // of an object whose head is not the usual one

bool IsBlank(char c) { return kBlanks.find(c) != std::string_view::npos; }

// {"name": "f", "arguments": { as far as it has come.
class Head {
 public:
  enum class Match { kMore, kNo, kYes };
  explicit Head(std::string_view text) : text_(text) {}

  Match Read(std::string* name) {
    if (!Sign('{')) return Failed();
    bool named = false;
    while (true) {
      std::string key, value;
      if (!String(&key) || !Sign(':')) return Failed();
      if (key == "arguments" || key == "parameters") {
        if (!named || !Sign('{')) return Failed();
        return Match::kYes;
      }
      // Llama 3.1 writes a type before the name.
      if (key != "name" && key != "type" && key != "id") return Match::kNo;
      if (!String(&value) || !Sign(',')) return Failed();
      if (key != "name") continue;
      *name = value;
      named = true;
    }
  }

 private:
  Match Failed() const { return ended_ ? Match::kMore : Match::kNo; }

  bool Sign(char sign) {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
    ended_ = at_ == text_.size();
    return !ended_ && text_[at_++] == sign;
  }

  // Without escapes: names need none.
  bool String(std::string* to) {
    if (!Sign('"')) return false;
    const size_t end = text_.find_first_of("\"\\", at_);
    ended_ = end == std::string_view::npos;
    if (ended_ || text_[end] == '\\') return false;
    *to = std::string(text_.substr(at_, end - at_));
    at_ = end + 1;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool ended_ = false;  // the text did, before it could be told
};

}  // namespace

bool ToolCallReader::Brackets::Take(char c) {
  if (in_string) {
    if (escaped) {
      escaped = false;
    } else if (c == '\\') {
      escaped = true;
    } else if (c == '"') {
      in_string = false;
    }
    return false;
  }
  if (c == '"') in_string = true;
  if (c == '{' || c == '[') ++depth;
  if (c == '}' || c == ']') return --depth == 0;
  return false;
}

ToolCallReader::ToolCallReader(std::shared_ptr<const ToolReading> reading)
    : reading_(std::move(reading)),
      before_(MarkerBefore(reading_->format)),
      after_(MarkerAfter(reading_->format)),
      untagged_(reading_->format == ToolFormat::kLlama3 || reading_->format == ToolFormat::kNone),
      state_(untagged_ ? State::kStart : State::kText) {
  if (reading_->calls_alone && reading_->format == ToolFormat::kMistral) state_ = State::kItem;
}

Spoken ToolCallReader::Push(std::string_view text) {
  for (const char c : text) Step(c);
  return std::exchange(out_, {});
}

Spoken ToolCallReader::Finish() {
  const bool beside_a_call = calls_ > 0 && (HeldWord().empty() || state_ == State::kAfter ||
                                            (state_ == State::kItem && in_list_));
  if (!beside_a_call) out_.content += held_;
  held_.clear();
  return std::exchange(out_, {});
}

std::string_view ToolCallReader::HeldWord() const {
  const size_t at = held_.find_first_not_of(kBlanks);
  return at == std::string::npos ? std::string_view() : std::string_view(held_).substr(at);
}

void ToolCallReader::Release() {
  out_.content += held_;
  held_.clear();
  in_list_ = false;
  state_ = Outside();
}

void ToolCallReader::Again(State state) {
  state_ = state;
  for (const char c : std::exchange(held_, {})) Step(c);
}

void ToolCallReader::Step(char c) {
  switch (state_) {
    case State::kStart:
      return Start(c);
    case State::kText:
      return Text(c);
    case State::kContent:
      out_.content.push_back(c);
      return;
    case State::kItem:
      return Item(c);
    case State::kObject:
      return Object(c);
    case State::kArguments:
      Arguments({&c, 1});
      if (brackets_.Take(c)) state_ = State::kRest;
      return;
    case State::kRest:
      return Rest(c);
    case State::kFields:
      if (brackets_.Take(c)) state_ = State::kAfter;
      return;
    case State::kAfter:
      return After(c);
  }
}

void ToolCallReader::Start(char c) {
  if (c == '{' && HeldWord().empty()) {
    state_ = State::kItem;
    return Item(c);
  }
  held_.push_back(c);
  const std::string_view word = HeldWord();
  if (word.empty() && held_.size() < kMostBlanks) return;
  if (word.empty() || !before_.starts_with(word)) return Release();
  if (word.size() == before_.size()) state_ = State::kItem;
}

void ToolCallReader::Text(char c) {
  held_.push_back(c);
  const std::string_view word = HeldWord();
  if (word.empty() && held_.size() < kMostBlanks) return;
  if (!word.empty() && before_.starts_with(word)) {
    if (word.size() == before_.size()) state_ = State::kItem;
    return;
  }
  held_.pop_back();
  Release();
  // A marker's first letter stands in it once.
  if (IsBlank(c) || c == before_[0]) {
    held_.push_back(c);
  } else {
    out_.content.push_back(c);
  }
}

void ToolCallReader::Item(char c) {
  if (c == '{' && (in_list_ || reading_->format != ToolFormat::kMistral)) {
    object_at_ = held_.size();
    held_.push_back(c);
    brackets_ = {.depth = 1};
    head_open_ = true;
    state_ = State::kObject;
    return;
  }
  const bool opens = c == '[' && !in_list_ && reading_->format == ToolFormat::kMistral;
  if ((!opens && !IsBlank(c)) || held_.size() >= 2 * kMostBlanks) {
    Release();
    return Step(c);
  }
  held_.push_back(c);
  in_list_ |= opens;
}

void ToolCallReader::Object(char c) {
  held_.push_back(c);
  const bool closed = brackets_.Take(c);
  if (head_open_) {
    std::string name;
    const Head::Match match = Head(std::string_view(held_).substr(object_at_)).Read(&name);
    head_open_ = match == Head::Match::kMore && held_.size() - object_at_ < kLongestHead;
    if (match == Head::Match::kYes) {
      if (!reading_->names.contains(name)) return Release();
      held_.clear();
      Begin(name);
      Arguments("{");
      brackets_ = {.depth = 1};
      state_ = State::kArguments;
      return;
    }
    // An answer in JSON that is no call need not wait for its end.
    if (!head_open_ && untagged_) return Release();
  }
  if (closed && TakeWhole(std::string_view(held_).substr(object_at_))) {
    held_.clear();
    state_ = State::kAfter;
  } else if (closed || held_.size() > kMostHeld) {
    Release();
  }
}

// An object with the arguments before the name, with arguments in a text, or with none.
bool ToolCallReader::TakeWhole(std::string_view object) {
  const auto call = model::ParseStrictOrderedJson(object, "a call");
  if (!call.ok()) return false;
  const ordered_json name = call->value("name", ordered_json());
  if (!name.is_string() || !reading_->names.contains(name.get_ref<const std::string&>()))
    return false;
  std::string text = "{}";
  for (const char* key : {"arguments", "parameters"}) {
    const ordered_json arguments = call->value(key, ordered_json());
    if (arguments.is_null()) continue;
    text = arguments.is_string() ? arguments.get<std::string>() : arguments.dump();
    if (arguments.is_string()) {
      const auto within = model::ParseStrictOrderedJson(text, "arguments");
      if (!within.ok() || !within->is_object()) return false;
    } else if (!arguments.is_object()) {
      return false;
    }
    break;
  }
  Begin(name.get<std::string>());
  Arguments(text);
  return true;
}

void ToolCallReader::Begin(const std::string& name) {
  left_out_ = calls_ == reading_->most;
  if (left_out_) return;
  out_.calls.push_back({calls_++, reading_->new_id(), name, ""});
}

void ToolCallReader::Arguments(std::string_view text) {
  if (left_out_) return;
  if (out_.calls.empty()) out_.calls.push_back({.index = calls_ - 1});
  out_.calls.back().arguments += text;
}

void ToolCallReader::Rest(char c) {
  if (IsBlank(c)) return;
  state_ = State::kAfter;
  if (c == '}') return;
  if (c == ',') {
    brackets_ = {.depth = 1};
    state_ = State::kFields;
    return;
  }
  Step(c);  // the object's end was forgotten
}

void ToolCallReader::After(char c) {
  held_.push_back(c);
  const std::string_view word = HeldWord();
  if (word.empty() && held_.size() < kMostBlanks) return;
  const bool list = reading_->format == ToolFormat::kMistral;
  if (!word.empty() && after_.starts_with(word)) {
    if (word.size() < after_.size()) return;
    held_.clear();
    state_ = State::kText;
  } else if ((untagged_ && word == ";") || (list && word == ",")) {
    in_list_ = true;
    state_ = State::kItem;
  } else if (list && word == "]") {
    held_.clear();
    in_list_ = false;
    state_ = State::kText;
  } else {
    in_list_ = false;
    Again(Outside());
  }
}

}  // namespace longrun::serving
