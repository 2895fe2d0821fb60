// The lines of the rank protocol (docs/rank-protocol.md): the messages as structs, their text form,
// and a buffer that cuts a stream of bytes into lines. Standard library alone, C++17; both the
// ranks (rank.h) and Longrun's agent use it. Nothing here keeps state shared between threads.
//
//   std::string bytes = FormatRankMessage(RankCommit{3, 121, 3.25, 49152, 0.21});
//   RankLine line;  RankCommit commit;  std::string why;
//   if (ParseRankLine(text, &line, &why) && line.verb == RankCommit::kVerb &&
//       ParseRankMessage(line, &commit, &why)) …
//
// Text from the other side is never trusted: every parser returns false and says why, and a struct
// is filled only when the whole line is right. Unknown verbs and keys are ignored, absent keys keep
// the struct's defaults, except those a message cannot do without.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace longrun {

inline constexpr int kRankProtocolVersion = 1;
// Longest line, its newline included.
inline constexpr size_t kRankLineLimit = 1024 * 1024;

// From the rank, first on every connection.
struct RankHello {
  static constexpr const char* kVerb = "hello";
  int64_t v = kRankProtocolVersion;
  int64_t member = -1;  // LONGRUN_MEMBER
  int64_t pid = 0;
  std::string endpoint;  // host:port where this process offers rendezvous; may be empty
  int64_t step = 0;      // last step applied
  template <class V>
  void Visit(V& visit) {
    visit.Required("v", v);
    visit.Required("member", member);
    visit("pid", pid);
    visit("endpoint", endpoint);
    visit("step", step);
  }
};

// From the rank: it is part of the group of `incarnation`, with the state after `step`.
struct RankJoined {
  static constexpr const char* kVerb = "joined";
  int64_t incarnation = 0;
  int64_t step = 0;
  std::string source = "own";  // own, peer, checkpoint or start
  double seconds = 0;          // from the membership's arrival
  template <class V>
  void Visit(V& visit) {
    visit.Required("incarnation", incarnation);
    visit.Required("step", step);
    visit("source", source);
    visit("seconds", seconds);
  }
};

// From the rank: the optimizer step was applied. `tokens`, `seconds`: of this step, the whole gang.
struct RankCommit {
  static constexpr const char* kVerb = "commit";
  int64_t incarnation = 0;
  int64_t step = 0;
  double loss = 0;
  int64_t tokens = 0;
  double seconds = 0;
  template <class V>
  void Visit(V& visit) {
    visit.Required("incarnation", incarnation);
    visit.Required("step", step);
    visit("loss", loss);
    visit("tokens", tokens);
    visit("seconds", seconds);
  }
};

// From the rank: it has waited for its peers for seconds, its own part of the step after `step`
// done. Where no step comes for too long, those that do not say so are suspect.
struct RankWaiting {
  static constexpr const char* kVerb = "waiting";
  int64_t incarnation = 0;
  int64_t step = 0;  // last applied
  template <class V>
  void Visit(V& visit) {
    visit.Required("incarnation", incarnation);
    visit.Required("step", step);
  }
};

// From the rank: a collective failed; it waits for the next membership.
struct RankBroken {
  static constexpr const char* kVerb = "broken";
  int64_t incarnation = 0;
  std::string what;
  template <class V>
  void Visit(V& visit) {
    visit.Required("incarnation", incarnation);
    visit("what", what);
  }
};

// From the rank: a whole checkpoint was published. `stall`: seconds the training step waited.
struct RankCheckpoint {
  static constexpr const char* kVerb = "checkpoint";
  int64_t step = 0;
  double seconds = 0;
  double stall = 0;
  template <class V>
  void Visit(V& visit) {
    visit.Required("step", step);
    visit("seconds", seconds);
    visit("stall", stall);
  }
};

// From the rank: a figure worth showing.
struct RankMetric {
  static constexpr const char* kVerb = "metric";
  std::string name;
  double value = 0;
  int64_t step = 0;
  template <class V>
  void Visit(V& visit) {
    visit.Required("name", name);
    visit.Required("value", value);
    visit("step", step);
  }
};

// From the rank: a line for the run's story.
struct RankSay {
  static constexpr const char* kVerb = "say";
  std::string text;
  template <class V>
  void Visit(V& visit) {
    visit.Required("text", text);
  }
};

// From the rank: its work is complete and it is about to exit 0; its end is no fault any more.
struct RankDone {
  static constexpr const char* kVerb = "done";
  int64_t step = 0;
  template <class V>
  void Visit(V& visit) {
    visit.Required("step", step);
  }
};

// From the agent: who is in the gang now, in rank order. Only a higher incarnation counts.
struct RankMembership {
  static constexpr const char* kVerb = "membership";
  int64_t incarnation = 0;
  int64_t rank = -1;  // of the receiver; -1: a spare
  int64_t world = 0;
  int64_t full = 0;  // the size asked for
  std::vector<int64_t> members;
  std::vector<std::string> endpoints;
  template <class V>
  void Visit(V& visit) {
    visit.Required("incarnation", incarnation);
    visit.Required("rank", rank);
    visit.Required("world", world);
    visit("full", full);
    visit("members", members);
    visit("endpoints", endpoints);
  }
};

// From the agent: finish: save a checkpoint and exit 0.
struct RankStop {
  static constexpr const char* kVerb = "stop";
  std::string reason;
  template <class V>
  void Visit(V& visit) {
    visit("reason", reason);
  }
};

// From the agent, about twice a second: are you there?
struct RankPing {
  static constexpr const char* kVerb = "ping";
  int64_t n = 0;
  template <class V>
  void Visit(V& visit) {
    visit("n", n);
  }
};

// The answer, from a thread that a long step does not hold up.
struct RankPong {
  static constexpr const char* kVerb = "pong";
  int64_t n = 0;
  int64_t step = 0;  // last applied
  template <class V>
  void Visit(V& visit) {
    visit("n", n);
    visit("step", step);
  }
};

namespace rank_internal {

// Percent-encodes what would end a value, a list item (`comma`) or a line, and what terminals act
// on.
inline void AppendEscaped(std::string_view value, bool comma, std::string* out) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : value) {
    const unsigned char u = static_cast<unsigned char>(c);
    if (u <= 0x20 || u == 0x7f || c == '%' || (comma && c == ',')) {
      out->push_back('%');
      out->push_back(kHex[u >> 4]);
      out->push_back(kHex[u & 15]);
    } else {
      out->push_back(c);
    }
  }
}

inline int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

inline bool Unescape(std::string_view text, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

template <class T>
bool ParseNumber(std::string_view text, T* out) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *out);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() && !text.empty();
}

template <class T>
void AppendNumber(T value, std::string* out) {
  char digits[40];
  const auto result = std::to_chars(digits, digits + sizeof digits, value);
  out->append(digits, result.ptr);
}

// Writes each field as ` key=value`.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}
  template <class T>
  void Required(const char* key, T& value) {
    (*this)(key, value);
  }
  void operator()(const char* key, int64_t& value) {
    Key(key);
    AppendNumber(value, out_);
  }
  void operator()(const char* key, double& value) {
    Key(key);
    AppendNumber(value, out_);
  }
  void operator()(const char* key, std::string& value) {
    Key(key);
    AppendEscaped(value, false, out_);
  }
  void operator()(const char* key, std::vector<int64_t>& value) {
    Key(key);
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out_->push_back(',');
      AppendNumber(value[i], out_);
    }
  }
  // A list's items are escaped once, commas too, and the commas between them stand bare.
  void operator()(const char* key, std::vector<std::string>& value) {
    Key(key);
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out_->push_back(',');
      AppendEscaped(value[i], true, out_);
    }
  }

 private:
  void Key(const char* key) {
    out_->push_back(' ');
    out_->append(key);
    out_->push_back('=');
  }
  std::string* out_;
};

// Fills a message's fields from the raw (still escaped) values of a line.
class Reader {
 public:
  Reader(const std::vector<std::pair<std::string_view, std::string_view>>& fields, std::string* why)
      : fields_(fields), why_(why) {}
  bool ok() const { return ok_; }

  template <class T>
  void Required(const char* key, T& value) {
    if (Find(key) == nullptr) {
      Fail(key, "missing");
    } else {
      (*this)(key, value);
    }
  }
  template <class T>
  void operator()(const char* key, T& value) {
    const std::string_view* text = Find(key);
    if (text != nullptr && !Get(*text, value)) Fail(key, "not a value of its kind");
  }

 private:
  static bool Get(std::string_view text, int64_t& value) { return ParseNumber(text, &value); }
  static bool Get(std::string_view text, double& value) { return ParseNumber(text, &value); }
  static bool Get(std::string_view text, std::string& value) { return Unescape(text, &value); }
  template <class T>
  static bool Get(std::string_view text, std::vector<T>& value) {
    value.clear();
    if (text.empty()) return true;
    while (true) {
      const size_t comma = text.find(',');
      T item{};
      if (!Get(text.substr(0, comma), item)) return false;
      value.push_back(std::move(item));
      if (comma == std::string_view::npos) return true;
      text.remove_prefix(comma + 1);
    }
  }
  const std::string_view* Find(std::string_view key) const {
    for (const auto& field : fields_) {
      if (field.first == key) return &field.second;
    }
    return nullptr;
  }
  void Fail(const char* key, const char* what) {
    if (ok_) *why_ = std::string(key) + ": " + what;
    ok_ = false;
  }

  const std::vector<std::pair<std::string_view, std::string_view>>& fields_;
  std::string* why_;
  bool ok_ = true;
};

inline bool IsName(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  for (const char c : text) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '-' || c == '.';
    if (!fine) return false;
  }
  return true;
}

}  // namespace rank_internal

// A line cut into verb and fields, values still escaped. Views into the text given to
// ParseRankLine.
struct RankLine {
  std::string_view verb;
  std::vector<std::pair<std::string_view, std::string_view>> fields;
};

// `text` without its newline. A key that stands twice is refused: which one counts is nobody's to
// guess.
inline bool ParseRankLine(std::string_view text, RankLine* out, std::string* why) {
  out->fields.clear();
  if (text.size() >= kRankLineLimit) return *why = "line too long", false;
  size_t space = text.find(' ');
  out->verb = text.substr(0, space);
  if (!rank_internal::IsName(out->verb)) return *why = "no verb", false;
  while (space != std::string_view::npos) {
    text.remove_prefix(space + 1);
    space = text.find(' ');
    const std::string_view pair = text.substr(0, space);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !rank_internal::IsName(pair.substr(0, equals))) {
      return *why = "a field that is no key=value", false;
    }
    if (out->fields.size() >= 64) return *why = "more than 64 fields", false;
    const std::string_view key = pair.substr(0, equals), value = pair.substr(equals + 1);
    for (const char c : value) {
      const unsigned char u = static_cast<unsigned char>(c);
      if (u <= 0x20 || u == 0x7f) return *why = "a control character in a value", false;
    }
    for (const auto& field : out->fields) {
      if (field.first == key) return *why = std::string(key) + ": stands twice", false;
    }
    out->fields.emplace_back(key, value);
  }
  return true;
}

// One whole line with its newline.
template <class M>
std::string FormatRankMessage(const M& message) {
  std::string out = M::kVerb;
  rank_internal::Writer writer(&out);
  M copy = message;
  copy.Visit(writer);
  // A text too long for a line is cut (between escapes), for a message half said beats none; the
  // other fields are short by nature.
  if (out.size() + 1 > kRankLineLimit) {
    out.resize(kRankLineLimit - 1);
    const size_t percent = out.rfind('%');
    if (percent != std::string::npos && percent + 3 > out.size()) out.resize(percent);
  }
  out.push_back('\n');
  return out;
}

// False, with the reason in `why`, when the line is malformed or a field this message needs is
// absent or not a value of its kind. `*out` is changed only on success.
template <class M>
bool ParseRankMessage(const RankLine& line, M* out, std::string* why) {
  M message;
  rank_internal::Reader reader(line.fields, why);
  message.Visit(reader);
  if (!reader.ok()) return false;
  *out = std::move(message);
  return true;
}

// The membership's own consistency: lists as long as `world`, rank within it, no member twice.
inline bool CheckRankMembership(const RankMembership& m, std::string* why) {
  if (m.incarnation < 0) return *why = "incarnation: negative", false;
  if (m.world < 1 || m.world > 1000000) return *why = "world: out of range", false;
  if (m.rank < -1 || m.rank >= m.world) return *why = "rank: out of range", false;
  const size_t world = static_cast<size_t>(m.world);
  if (m.members.size() != world) return *why = "members: not as many as world", false;
  if (m.endpoints.size() != world) return *why = "endpoints: not as many as world", false;
  std::vector<int64_t> sorted = m.members;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return *why = "members: one stands twice", false;
  }
  return true;
}

// Cuts a stream into lines. A line over the limit is dropped whole and counted; what follows its
// newline is read as usual.
class RankLineBuffer {
 public:
  // Appends bytes as they came; then call Next until it returns false.
  void Append(std::string_view bytes) { buffer_.append(bytes); }

  // The next whole line without its newline. Views stay valid until the next call of either method.
  bool Next(std::string_view* line) {
    while (true) {
      const size_t end = buffer_.find('\n', start_);
      if (end == std::string::npos) {
        if (buffer_.size() - start_ >= kRankLineLimit) skipping_ = true;
        buffer_.erase(0, skipping_ ? buffer_.size() : start_);
        start_ = 0;
        return false;
      }
      const size_t begin = std::exchange(start_, end + 1);
      const bool drop = std::exchange(skipping_, false) || end - begin >= kRankLineLimit;
      if (drop) {
        ++dropped_;
        continue;
      }
      *line = std::string_view(buffer_).substr(begin, end - begin);
      return true;
    }
  }
  int64_t dropped() const { return dropped_; }

 private:
  std::string buffer_;
  size_t start_ = 0;
  bool skipping_ = false;
  int64_t dropped_ = 0;
};

}  // namespace longrun
