// Finds the calls of tools in the text of an answer, piece by piece as it is generated. One answer,
// one thread at a time; what comes out does not depend on where the text was cut.
//
// A call is told once its head is complete (the name of a tool that there is, and the brace that
// opens its arguments); from there on what the model writes are its arguments, which end with their
// last bracket, valid JSON or not. Text that does not become a call is content, all of it; blanks
// beside calls are not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serving/openai/tool_format.h"

namespace longrun::serving {

// The beginning of a call where it has a name; else more of the arguments of the one before.
struct CallPiece {
  int64_t index = 0;  // of the call in its answer
  std::string id, name;
  std::string arguments;
};

struct Spoken {
  std::string content;
  std::vector<CallPiece> calls;
};

// What is to be found.
struct ToolReading {
  ToolFormat format = ToolFormat::kHermes;
  std::set<std::string, std::less<>> names;
  int64_t most = 1;          // calls beyond are left out
  bool calls_alone = false;  // the text is what CallsAlone allows: Mistral's has no marker
  std::function<std::string()> new_id;
};

class ToolCallReader {
 public:
  explicit ToolCallReader(std::shared_ptr<const ToolReading> reading);

  Spoken Push(std::string_view text);
  // At the end, once: what was held back, as content, unless it belongs to a call.
  Spoken Finish();

  bool any() const { return calls_ > 0; }
  size_t held_bytes() const { return held_.size(); }

 private:
  enum class State {
    kStart,      // before the first word of an answer that may be a call as a whole
    kText,       // a call may begin anywhere
    kContent,    // nothing but content can come
    kItem,       // an object must come
    kObject,     // in one of which it is not known yet whether it is a call
    kArguments,  // of a call
    kRest,       // after them, in the call's object
    kFields,     // in further fields of it
    kAfter,      // after the object
  };
  // How deep in brackets a text is; those in strings do not count.
  struct Brackets {
    int64_t depth = 0;
    bool in_string = false, escaped = false;
    bool Take(char c);  // true: it closes the outermost
  };

  void Step(char c);
  void Start(char c);
  void Text(char c);
  void Item(char c);
  void Object(char c);
  void Rest(char c);
  void After(char c);
  void Arguments(std::string_view text);
  void Begin(const std::string& name);
  bool TakeWhole(std::string_view object);
  std::string_view HeldWord() const;  // without the blanks before it
  void Release();                     // what is held is content
  void Again(State state);            // what is held is read anew, as if it came now
  State Outside() const { return untagged_ ? State::kContent : State::kText; }

  const std::shared_ptr<const ToolReading> reading_;
  const std::string_view before_, after_;  // markers
  const bool untagged_;
  State state_;
  std::string held_;
  size_t object_at_ = 0;    // in held_
  bool head_open_ = false;  // the object may yet turn out to have the usual head
  bool in_list_ = false;
  bool left_out_ = false;  // the call is one too many
  Brackets brackets_;
  int64_t calls_ = 0;
  Spoken out_;
};

}  // namespace longrun::serving
