#include <algorithm>

#include "absl/strings/str_cat.h"
#include "serving/prompt/jinja_filters.h"
#include "serving/prompt/jinja_text.h"

namespace longrun::serving::jinja {
namespace {

constexpr std::string_view kTextMethods[] = {
    "strip",        "lstrip", "rstrip",     "startswith", "endswith", "split",
    "upper",        "lower",  "title",      "capitalize", "find",     "removeprefix",
    "removesuffix", "join",   "splitlines", "replace"};
constexpr std::string_view kMapMethods[] = {"items", "keys", "values", "get"};

Value BoolOf(bool value) { return {value}; }

// The text of an argument; `otherwise` where it is absent or none.
absl::StatusOr<std::string> TextArgument(const Arguments& arguments, size_t place,
                                         std::string_view name, std::string_view otherwise) {
  const Value* given = arguments.Get(place, name);
  if (given == nullptr || given->none()) return std::string(otherwise);
  if (given->text() == nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat("text is needed, not ", std::string(given->kind())));
  return given->text()->bytes();
}

// startswith, endswith: of one text or any of a tuple.
absl::StatusOr<Value> HasEnd(const std::string& text, bool front, const Arguments& arguments) {
  List candidates;
  if (const Value* given = arguments.Get(0, "prefix")) {
    candidates = given->list() ? *given->list() : List{*given};
  }
  for (const Value& candidate : candidates) {
    if (!candidate.text()) return absl::InvalidArgumentError("startswith: text is needed");
    const std::string& end = candidate.text()->bytes();
    if (front ? text.starts_with(end) : text.ends_with(end)) return BoolOf(true);
  }
  return BoolOf(false);
}

absl::StatusOr<Value> SplitText(const MarkedText& text, std::string_view separator, int64_t limit,
                                Budget* budget) {
  List parts;
  LR_RETURN_IF_ERROR(Split(text, separator, limit, [&](MarkedText part) {
    parts.push_back(Value::Text(std::move(part)));
    return budget->SpendParts(1);
  }));
  return Value::OfList(std::move(parts));
}

absl::StatusOr<Value> SplitLines(const MarkedText& text, Budget* budget) {
  List lines;
  const auto take = [&](MarkedText line) {
    if (line.bytes().ends_with('\r')) line = line.Substring(0, line.size() - 1);
    lines.push_back(Value::Text(std::move(line)));
    return budget->SpendParts(1);
  };
  const size_t bytes = text.size() - (text.bytes().ends_with('\n') ? 1 : 0);
  if (!text.empty()) LR_RETURN_IF_ERROR(Split(text.Substring(0, bytes), "\n", -1, take));
  return Value::OfList(std::move(lines));
}

absl::StatusOr<Value> CallTextMethod(const MarkedText& text, const std::string& name,
                                     const Arguments& arguments, Budget* budget) {
  const Value self = Value::Text(text);
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize" ||
      name == "replace") {
    return ApplyFilter(name, self, arguments, budget);
  }
  if (name == "join") {
    const Value* list = arguments.Get(0, "iterable");
    if (list == nullptr) return absl::InvalidArgumentError("join: a list is needed");
    return ApplyFilter("join", *list, {.positional = {self}}, budget);
  }
  if (name == "startswith" || name == "endswith")
    return HasEnd(text.bytes(), name == "startswith", arguments);
  if (name == "splitlines") return SplitLines(text, budget);
  LR_ASSIGN_OR_RETURN(const std::string first, TextArgument(arguments, 0, "sep", ""));
  LR_RETURN_IF_ERROR(budget->SpendSearch(text.size(), first.size()));
  if (name == "strip") return Value::Text(Strip(text, first, true, true));
  if (name == "lstrip") return Value::Text(Strip(text, first, true, false));
  if (name == "rstrip") return Value::Text(Strip(text, first, false, true));
  if (name == "removeprefix")
    return Value::Text(text.bytes().starts_with(first) ? text.Substring(first.size()) : text);
  if (name == "removesuffix")
    return Value::Text(text.bytes().ends_with(first) ? text.Substring(0, text.size() - first.size())
                                                     : text);
  if (name == "find") {
    const size_t at = text.bytes().find(first);
    if (at == std::string::npos) return Value{int64_t{-1}};
    return Value{
        static_cast<int64_t>(CharacterCount(std::string_view(text.bytes()).substr(0, at)))};
  }
  int64_t limit = -1;
  if (const Value* given = arguments.Get(1, "maxsplit")) {
    LR_ASSIGN_OR_RETURN(limit, given->AsInt());
  }
  return SplitText(text, first, limit, budget);
}

MarkedText CharacterAt(const MarkedText& text, size_t place) {
  const std::string_view rest = std::string_view(text.bytes()).substr(place);
  return text.Substring(place, PlaceOfCharacter(rest, 1));
}

// The characters from `begin` to `end` (or above it to `begin`), every `stride`-th.
absl::StatusOr<MarkedText> SliceText(const MarkedText& text, int64_t begin, int64_t end,
                                     int64_t stride, Budget* budget) {
  const std::string_view bytes = text.bytes();
  if (stride == 1) {
    const size_t from = PlaceOfCharacter(bytes, static_cast<size_t>(begin));
    const auto count = static_cast<size_t>(std::max<int64_t>(0, end - begin));
    return text.Substring(from, PlaceOfCharacter(bytes.substr(from), count));
  }
  LR_ASSIGN_OR_RETURN(const List characters, Items(Value::Text(text), budget));
  MarkedText chosen;
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride)
    chosen.Append(*characters[static_cast<size_t>(i)].text());
  return chosen;
}

// Python's meaning of an index that may count from the end.
int64_t Clamp(int64_t index, int64_t size, int64_t lo, int64_t hi) {
  return std::clamp(index < 0 ? index + size : index, lo, hi);
}

}  // namespace

bool HasMethod(const Value& object, std::string_view name) {
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  return (object.text() && has(kTextMethods)) || (object.map() && has(kMapMethods));
}

absl::StatusOr<Value> CallMethod(const Value& object, const std::string& name,
                                 const Arguments& arguments, Budget* budget) {
  if (object.text()) {
    LR_RETURN_IF_ERROR(budget->SpendText(object.text()->size()));
    return CallTextMethod(*object.text(), name, arguments, budget);
  }
  if (name == "get") {
    const Value* key = arguments.Get(0, "key");
    const Value* otherwise = arguments.Get(1, "default");
    const Value* found = key && key->text() ? Find(*object.map(), key->text()->bytes()) : nullptr;
    return found ? *found : otherwise ? *otherwise : Value{None{}};
  }
  LR_ASSIGN_OR_RETURN(const Value pairs, ApplyFilter("items", object, {}, budget));
  if (name == "items") return pairs;
  List column;
  for (const Value& pair : *pairs.list()) column.push_back((*pair.list())[name == "keys" ? 0 : 1]);
  return Value::OfList(std::move(column));
}

absl::StatusOr<Value> Attribute(const Value& object, const std::string& name) {
  if (object.undefined()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::get<Undefined>(object.of).name,
                                                   "\" is undefined, so it has no ", name));
  }
  if (HasMethod(object, name))
    return Value{Method{std::make_shared<const Value>(object), name}, object.depth};
  if (const Map* map = object.map()) {
    const Value* found = Find(*map, name);
    if (found != nullptr) return *found;
  }
  if (const auto* held = std::get_if<std::shared_ptr<Namespace>>(&object.of)) {
    for (const auto& [key, value] : (*held)->entries)
      if (key == name) return value;
  }
  return Value{Undefined{name}};
}

absl::StatusOr<Value> Index(const Value& object, const Value& index) {
  if (index.text()) {
    if (const Map* map = object.map()) {
      const Value* found = Find(*map, index.text()->bytes());
      return found ? *found : Value{Undefined{index.text()->bytes()}};
    }
    return Attribute(object, index.text()->bytes());
  }
  if (object.undefined()) return Attribute(object, "items");
  if (object.map()) return Value{Undefined{"key"}};
  LR_ASSIGN_OR_RETURN(int64_t at, index.AsInt());
  if (const List* list = object.list()) {
    if (at < 0) at += static_cast<int64_t>(list->size());
    if (at < 0 || at >= static_cast<int64_t>(list->size())) return Value{Undefined{"item"}};
    return (*list)[static_cast<size_t>(at)];
  }
  if (const MarkedText* text = object.text()) {
    if (at < 0) at += static_cast<int64_t>(CharacterCount(text->bytes()));
    if (at < 0) return Value{Undefined{"item"}};
    const size_t begin = PlaceOfCharacter(text->bytes(), static_cast<size_t>(at));
    if (begin == text->size()) return Value{Undefined{"item"}};
    return Value::Text(CharacterAt(*text, begin));
  }
  return absl::InvalidArgumentError(absl::StrCat(std::string(object.kind()), " has no items"));
}

absl::StatusOr<Value> Slice(const Value& object, const Value& from, const Value& to,
                            const Value& step, Budget* budget) {
  int64_t stride = 1;
  if (!step.none()) {
    LR_ASSIGN_OR_RETURN(stride, step.AsInt());
  }
  if (stride == 0 || stride < -1'000'000'000 || stride > 1'000'000'000)
    return absl::InvalidArgumentError("a slice's step is 0, or far too large");
  if (!object.list() && !object.text())
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(object.kind()), " cannot be sliced"));
  LR_RETURN_IF_ERROR(budget->Spend(
      static_cast<int64_t>(object.list() ? object.list()->size() : object.text()->size())));
  const auto size = static_cast<int64_t>(object.list() ? object.list()->size()
                                                       : CharacterCount(object.text()->bytes()));
  const int64_t lo = stride > 0 ? 0 : -1, hi = stride > 0 ? size : size - 1;
  int64_t begin = stride > 0 ? lo : hi, end = stride > 0 ? hi : lo;
  if (!from.none()) {
    LR_ASSIGN_OR_RETURN(begin, from.AsInt());
    begin = Clamp(begin, size, lo, hi);
  }
  if (!to.none()) {
    LR_ASSIGN_OR_RETURN(end, to.AsInt());
    end = Clamp(end, size, lo, hi);
  }
  if (object.text()) {
    LR_ASSIGN_OR_RETURN(MarkedText part, SliceText(*object.text(), begin, end, stride, budget));
    return Value::Text(std::move(part));
  }
  List chosen;
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride)
    chosen.push_back((*object.list())[static_cast<size_t>(i)]);
  return Value::OfList(std::move(chosen));
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget* budget) {
  if (const MarkedText* text = container.text()) {
    if (!item.text()) return absl::InvalidArgumentError("\"in\" a text: text is needed");
    LR_RETURN_IF_ERROR(budget->SpendSearch(text->size(), item.text()->size()));
    return text->bytes().find(item.text()->bytes()) != std::string::npos;
  }
  if (const Map* map = container.map())
    return item.text() && Find(*map, item.text()->bytes()) != nullptr;
  if (const List* list = container.list()) {
    for (const Value& candidate : *list) {
      LR_ASSIGN_OR_RETURN(const bool equal, Equal(candidate, item, budget));
      if (equal) return true;
    }
    return false;
  }
  if (container.undefined()) return false;
  return absl::InvalidArgumentError(
      absl::StrCat("\"in\" needs text, a list or a map, not ", std::string(container.kind())));
}

absl::StatusOr<List> Items(const Value& value, Budget* budget) {
  List items;
  if (const List* list = value.list()) {
    LR_RETURN_IF_ERROR(budget->Spend(static_cast<int64_t>(list->size())));
    items = *list;
  } else if (const Map* map = value.map()) {
    LR_RETURN_IF_ERROR(budget->Spend(static_cast<int64_t>(map->size())));
    for (const auto& [key, item] : *map) items.push_back(Value::Text(key));
  } else if (const MarkedText* text = value.text()) {
    for (size_t at = 0; at < text->size();) {
      LR_RETURN_IF_ERROR(budget->SpendParts(1));
      MarkedText character = CharacterAt(*text, at);
      at += character.size();
      items.push_back(Value::Text(std::move(character)));
    }
  } else if (!value.undefined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(value.kind()), " cannot be gone over"));
  }
  return items;
}

}  // namespace longrun::serving::jinja
