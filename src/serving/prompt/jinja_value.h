// The values that a chat template computes with. Lists and maps never change once made (a namespace
// does), so values can be shared and can hold no circles.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "serving/prompt/marked_text.h"

namespace longrun::serving::jinja {

struct Statement;
struct Value;

// How much a rendering may still do: hostile templates end with an error, not with the memory.
class Budget {
 public:
  Budget(int64_t work, int64_t parts) : work_(work), parts_(parts) {}
  // ResourceExhausted once it is used up. A step costs 1, text 1 for each 8 bytes.
  absl::Status Spend(int64_t work);
  absl::Status SpendText(size_t bytes) { return Spend(1 + static_cast<int64_t>(bytes / 8)); }
  // Looking for a pattern at every place of a text: long ones cost more.
  absl::Status SpendSearch(size_t bytes, size_t pattern);
  // A piece of a text, or a number of a range, becomes a value of its own: a hundred bytes and
  // more for each, so that a long message cut at each letter would be gigabytes.
  absl::Status SpendParts(size_t parts);

 private:
  int64_t work_, parts_;
};

using List = std::vector<Value>;
using Map = std::vector<std::pair<MarkedText, Value>>;  // in the order of insertion

struct Undefined {
  std::string name;  // what was looked for
};
struct None {};
// A name that only a call gives meaning: raise_exception, range, namespace, dict, strftime_now.
struct Builtin {
  std::string name;
};
// A method not yet called: `text.strip`.
struct Method {
  std::shared_ptr<const Value> object;
  std::string name;
};
// Not shared between renderings; the one value that changes ({% set ns.x = … %}). Nothing may hold
// one, so that none can hold itself.
struct Namespace {
  std::vector<std::pair<std::string, Value>> entries;
};

struct Value {
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const MarkedText>,
               std::shared_ptr<const List>, std::shared_ptr<const Map>, std::shared_ptr<Namespace>,
               const Statement*, Builtin, Method>
      of;
  // Of lists in lists: values are walked, and taken down, by recursion. Whoever evaluates refuses
  // what is deeper than kDeepest; a namespace counts as kDeepest, so that no list can hold it.
  int depth = 0;
  static constexpr int kDeepest = 65;

  static Value Text(MarkedText text);
  static Value Text(std::string text, Origin origin);
  static Value OfList(List list);
  static Value OfMap(Map map);

  bool undefined() const { return std::holds_alternative<Undefined>(of); }
  bool none() const { return std::holds_alternative<None>(of); }
  // Null where it is of another kind.
  const MarkedText* text() const;
  const List* list() const;
  const Map* map() const;
  bool number() const;
  double AsDouble() const;  // of a number or a bool
  // Ints and bools; InvalidArgument else.
  absl::StatusOr<int64_t> AsInt() const;

  bool Truth() const;
  std::string_view kind() const;  // for messages: "a list"
};

// Of all pairs with a Value in them clang 14 must complete a Map's first, or none.
static_assert(sizeof(Map::value_type) > sizeof(Value));

// JSON's strings, keys included, are the message's. Of nlohmann::json and ordered_json.
template <class Json>
Value FromJson(const Json& json);

absl::StatusOr<bool> Equal(const Value& a, const Value& b, Budget* budget);
// Below, equal, above: -1, 0, 1. Numbers with numbers, text with text.
absl::StatusOr<int> Compare(const Value& a, const Value& b);
// Null where there is no such key.
const Value* Find(const Map& map, std::string_view key);

// As {{ value }} prints it. Lists and maps are refused: tojson is meant.
absl::StatusOr<MarkedText> Printed(const Value& value);
struct JsonStyle {
  int64_t indent = -1;  // < 0: on one line
  std::string comma = ", ", colon = ": ";
};
// As Python's json.dumps(ensure_ascii=False) writes it. What stands between the texts counts as the
// message's: no special token is made of somebody's brackets and numbers.
absl::StatusOr<MarkedText> ToJson(const Value& value, const JsonStyle& style, Budget* budget);

}  // namespace longrun::serving::jinja
