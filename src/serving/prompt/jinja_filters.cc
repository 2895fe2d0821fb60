#include "serving/prompt/jinja_filters.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "serving/prompt/jinja_arithmetic.h"
#include "serving/prompt/jinja_text.h"

namespace longrun::serving::jinja {
namespace {

constexpr size_t kLongestSeparator = 16;  // of tojson

using Filter = std::function<absl::StatusOr<Value>(const Value&, const Arguments&, Budget*)>;

absl::Status Wrong(std::string_view name, std::string_view needs, const Value& value) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(name), ": ", std::string(needs),
                                                 " is needed, not ", std::string(value.kind())));
}

// Text as it is, other values as they print; nothing for what is undefined.
absl::StatusOr<MarkedText> AsText(const Value& value, Budget* budget) {
  LR_ASSIGN_OR_RETURN(MarkedText text, Printed(value));
  LR_RETURN_IF_ERROR(budget->SpendText(text.size()));
  return text;
}

Filter OfText(std::function<MarkedText(const MarkedText&)> change) {
  return [change](const Value& value, const Arguments&, Budget* budget) -> absl::StatusOr<Value> {
    LR_ASSIGN_OR_RETURN(const MarkedText text, AsText(value, budget));
    return Value::Text(change(text));
  };
}

absl::StatusOr<int64_t> LengthOf(const Value& value) {
  if (value.text()) return static_cast<int64_t>(CharacterCount(value.text()->bytes()));
  if (value.list()) return static_cast<int64_t>(value.list()->size());
  if (value.map()) return static_cast<int64_t>(value.map()->size());
  if (value.undefined()) return 0;
  return Wrong("length", "text, a list or a map", value);
}

absl::StatusOr<Value> JoinAll(const Value& value, const MarkedText& between, const Value* attribute,
                              Budget* budget) {
  LR_ASSIGN_OR_RETURN(const List items, Items(value, budget));
  MarkedText out;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (attribute != nullptr) {
      LR_ASSIGN_OR_RETURN(item, Index(item, *attribute));
    }
    LR_ASSIGN_OR_RETURN(const MarkedText text, AsText(item, budget));
    LR_RETURN_IF_ERROR(budget->SpendText(between.size()));
    if (i > 0) out.Append(between);
    out.Append(text);
  }
  return Value::Text(std::move(out));
}

absl::StatusOr<Value> Join(const Value& value, const Arguments& arguments, Budget* budget) {
  MarkedText between;
  if (const Value* given = arguments.Get(0, "d")) {
    LR_ASSIGN_OR_RETURN(between, AsText(*given, budget));
  }
  return JoinAll(value, between, arguments.Get(1, "attribute"), budget);
}

absl::StatusOr<Value> Default(const Value& value, const Arguments& arguments, Budget*) {
  const Value* otherwise = arguments.Get(0, "default_value");
  const Value* boolean = arguments.Get(1, "boolean");
  const bool absent = value.undefined() || (boolean && boolean->Truth() && !value.Truth());
  if (!absent) return value;
  return otherwise ? *otherwise : Value::Text("", Origin::kTemplate);
}

absl::StatusOr<Value> First(const Value& value, const Arguments&, Budget* budget) {
  LR_ASSIGN_OR_RETURN(const List items, Items(value, budget));
  return items.empty() ? Value{Undefined{"first"}} : items.front();
}

absl::StatusOr<Value> Last(const Value& value, const Arguments&, Budget* budget) {
  LR_ASSIGN_OR_RETURN(const List items, Items(value, budget));
  return items.empty() ? Value{Undefined{"last"}} : items.back();
}

absl::StatusOr<Value> AsList(const Value& value, const Arguments&, Budget* budget) {
  LR_ASSIGN_OR_RETURN(List items, Items(value, budget));
  return Value::OfList(std::move(items));
}

absl::StatusOr<Value> Reverse(const Value& value, const Arguments&, Budget* budget) {
  LR_ASSIGN_OR_RETURN(List items, Items(value, budget));
  std::reverse(items.begin(), items.end());
  if (!value.text()) return Value::OfList(std::move(items));
  return JoinAll(Value::OfList(std::move(items)), {}, nullptr, budget);
}

absl::StatusOr<Value> ItemsOf(const Value& value, const Arguments&, Budget* budget) {
  if (value.undefined()) return Value::OfList({});
  if (!value.map()) return Wrong("items", "a map", value);
  LR_RETURN_IF_ERROR(budget->Spend(static_cast<int64_t>(value.map()->size())));
  List pairs;
  for (const auto& [key, item] : *value.map())
    pairs.push_back(Value::OfList({Value::Text(key), item}));
  return Value::OfList(std::move(pairs));
}

absl::StatusOr<Value> AsInt(const Value& value, const Arguments& arguments, Budget*) {
  int64_t number = 0;
  if (value.text() && absl::SimpleAtoi(value.text()->bytes(), &number)) return Value{number};
  if (std::holds_alternative<bool>(value.of) || value.number()) {
    const double d = value.AsDouble();
    if (std::abs(d) < 9e18) return Value{static_cast<int64_t>(d)};
  }
  const Value* otherwise = arguments.Get(0, "default");
  return otherwise ? *otherwise : Value{int64_t{0}};
}

absl::StatusOr<Value> ReplaceAll(const Value& value, const Arguments& arguments, Budget* budget) {
  const Value* from = arguments.Get(0, "old");
  const Value* to = arguments.Get(1, "new");
  const Value* count = arguments.Get(2, "count");
  if (!from || !to || !from->text() || !to->text())
    return absl::InvalidArgumentError("replace: two texts are needed");
  int64_t limit = -1;
  if (count != nullptr) {
    LR_ASSIGN_OR_RETURN(limit, count->AsInt());
  }
  LR_ASSIGN_OR_RETURN(const MarkedText text, AsText(value, budget));
  LR_RETURN_IF_ERROR(budget->SpendSearch(text.size(), from->text()->size()));
  LR_RETURN_IF_ERROR(budget->SpendText((text.size() + 1) * (to->text()->size() + 1) /
                                       std::max<size_t>(1, from->text()->size())));
  return Value::Text(Replace(text, from->text()->bytes(), *to->text(), limit));
}

// selectattr, rejectattr, select, reject: the items for which a test holds, or does not.
absl::StatusOr<Value> Choose(const Value& value, const Arguments& arguments, bool by_attribute,
                             bool wanted, Budget* budget) {
  LR_ASSIGN_OR_RETURN(const List items, Items(value, budget));
  const size_t test_at = by_attribute ? 1 : 0;
  if (arguments.positional.size() < test_at)
    return absl::InvalidArgumentError("selectattr: the attribute's name is missing");
  const Value* test = arguments.Get(test_at, "test");
  if (test != nullptr && !test->text())
    return absl::InvalidArgumentError("selectattr: the test's name is no text");
  Arguments rest;
  for (size_t i = test_at + 1; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  List chosen;
  for (const Value& item : items) {
    Value subject = item;
    if (by_attribute) {
      LR_ASSIGN_OR_RETURN(subject, Index(item, arguments.positional[0]));
    }
    bool holds = subject.Truth();
    if (test != nullptr) {
      LR_ASSIGN_OR_RETURN(holds, ApplyTest(test->text()->bytes(), subject, rest, budget));
    }
    if (holds == wanted) chosen.push_back(item);
  }
  return Value::OfList(std::move(chosen));
}

absl::StatusOr<Value> MapAll(const Value& value, const Arguments& arguments, Budget* budget) {
  LR_ASSIGN_OR_RETURN(const List items, Items(value, budget));
  const Value* attribute = arguments.Get(99, "attribute");
  const Value* filter = arguments.Get(0, "filter");
  if (!attribute && !(filter && filter->text()))
    return absl::InvalidArgumentError("map: an attribute or a filter's name is needed");
  if (!attribute && filter->text()->bytes() == "map")
    return absl::InvalidArgumentError("map: of map is not supported");
  Arguments rest;
  for (size_t i = 1; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  List mapped;
  for (const Value& item : items) {
    LR_ASSIGN_OR_RETURN(Value made, attribute
                                        ? Index(item, *attribute)
                                        : ApplyFilter(filter->text()->bytes(), item, rest, budget));
    mapped.push_back(std::move(made));
  }
  return Value::OfList(std::move(mapped));
}

absl::StatusOr<Value> Json(const Value& value, const Arguments& arguments, Budget* budget) {
  JsonStyle style;
  const Value* indent = arguments.Get(0, "indent");
  if (indent != nullptr && !indent->none()) {
    LR_ASSIGN_OR_RETURN(style.indent, indent->AsInt());
    style.comma = ",";
  }
  const Value* separators = arguments.Get(99, "separators");
  if (separators != nullptr && !separators->none()) {
    const List* pair = separators->list();
    if (!pair || pair->size() != 2 || !(*pair)[0].text() || !(*pair)[1].text() ||
        (*pair)[0].text()->size() > kLongestSeparator ||
        (*pair)[1].text()->size() > kLongestSeparator)
      return absl::InvalidArgumentError("tojson: separators are two short texts");
    style.comma = (*pair)[0].text()->bytes();
    style.colon = (*pair)[1].text()->bytes();
  }
  LR_ASSIGN_OR_RETURN(MarkedText text, ToJson(value, style, budget));
  return Value::Text(std::move(text));
}

// Every line but the first.
absl::StatusOr<Value> Indent(const Value& value, const Arguments& arguments, Budget* budget) {
  int64_t width = 4;
  if (const Value* given = arguments.Get(0, "width")) {
    LR_ASSIGN_OR_RETURN(width, given->AsInt());
  }
  if (width < 0 || width > 64) return absl::InvalidArgumentError("indent: 0 to 64 is right");
  LR_ASSIGN_OR_RETURN(const MarkedText text, AsText(value, budget));
  const auto lines = std::count(text.bytes().begin(), text.bytes().end(), '\n');
  LR_RETURN_IF_ERROR(budget->SpendText(static_cast<size_t>(lines * width)));
  const MarkedText between("\n" + std::string(static_cast<size_t>(width), ' '), Origin::kTemplate);
  return Value::Text(Replace(text, "\n", between, -1));
}

absl::StatusOr<Value> Absolute(const Value& value, const Arguments&, Budget* budget) {
  if (const int64_t* i = std::get_if<int64_t>(&value.of))
    return *i < 0 ? Arithmetic("-", Value{int64_t{0}}, value, budget) : value;
  if (!value.number()) return Wrong("abs", "a number", value);
  return Value{std::abs(value.AsDouble())};
}

const std::map<std::string, Filter>& Filters() {
  static const auto* filters = [] {
    const auto length = [](const Value& v, const Arguments&, Budget*) -> absl::StatusOr<Value> {
      LR_ASSIGN_OR_RETURN(const int64_t n, LengthOf(v));
      return Value{n};
    };
    const auto trim = [](const Value& v, const Arguments& a, Budget* b) -> absl::StatusOr<Value> {
      const Value* chars = a.Get(0, "chars");
      LR_ASSIGN_OR_RETURN(const MarkedText text, AsText(v, b));
      const std::string characters = chars && chars->text() ? chars->text()->bytes() : "";
      LR_RETURN_IF_ERROR(b->SpendSearch(text.size(), characters.size()));
      return Value::Text(Strip(text, characters, true, true));
    };
    const auto choose = [](bool by_attribute, bool wanted) {
      return [=](const Value& v, const Arguments& a, Budget* b) {
        return Choose(v, a, by_attribute, wanted, b);
      };
    };
    return new std::map<std::string, Filter>{
        {"trim", trim},
        {"length", length},
        {"count", length},
        {"upper", OfText(Upper)},
        {"lower", OfText(Lower)},
        {"capitalize", OfText(Capitalize)},
        {"title", OfText(Title)},
        {"string", OfText([](const MarkedText& text) { return text; })},
        {"safe", [](const Value& v, const Arguments&, Budget*) { return v; }},
        {"join", Join},
        {"default", Default},
        {"d", Default},
        {"first", First},
        {"last", Last},
        {"list", AsList},
        {"reverse", Reverse},
        {"items", ItemsOf},
        {"int", AsInt},
        {"abs", Absolute},
        {"replace", ReplaceAll},
        {"selectattr", choose(true, true)},
        {"rejectattr", choose(true, false)},
        {"select", choose(false, true)},
        {"reject", choose(false, false)},
        {"map", MapAll},
        {"tojson", Json},
        {"indent", Indent},
    };
  }();
  return *filters;
}

}  // namespace

const Value* Arguments::Get(size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [key, value] : keyword)
    if (key == name) return &value;
  return nullptr;
}

absl::StatusOr<Value> ApplyFilter(const std::string& name, const Value& value,
                                  const Arguments& arguments, Budget* budget) {
  LR_RETURN_IF_ERROR(budget->SpendText(value.text() ? value.text()->size() : 0));
  const auto filter = Filters().find(name);
  if (filter == Filters().end()) {
    return absl::InvalidArgumentError(absl::StrCat("the filter ", name, " is not supported"));
  }
  return filter->second(value, arguments, budget);
}

absl::StatusOr<bool> ApplyTest(const std::string& name, const Value& value,
                               const Arguments& arguments, Budget* budget) {
  if (name == "defined") return !value.undefined();
  if (name == "undefined") return value.undefined();
  if (name == "none") return value.none();
  if (name == "string") return value.text() != nullptr;
  if (name == "mapping") return value.map() != nullptr;
  if (name == "iterable" || name == "sequence")  // what is undefined is an empty one in Jinja
    return value.text() || value.list() || value.map() || value.undefined();
  if (name == "number") return value.number() || std::holds_alternative<bool>(value.of);
  if (name == "integer") return std::holds_alternative<int64_t>(value.of);
  if (name == "float") return std::holds_alternative<double>(value.of);
  const bool* boolean = std::get_if<bool>(&value.of);
  if (name == "boolean") return boolean != nullptr;
  if (name == "true") return boolean && *boolean;
  if (name == "false") return boolean && !*boolean;
  if (name == "odd" || name == "even" || name == "divisibleby") {
    LR_ASSIGN_OR_RETURN(const int64_t number, value.AsInt());
    int64_t by = 2;
    if (name == "divisibleby" && arguments.Get(0, "num")) {
      LR_ASSIGN_OR_RETURN(by, arguments.Get(0, "num")->AsInt());
    }
    if (by == 0) return absl::InvalidArgumentError("divisibleby: division by 0");
    return (by == -1 || number % by == 0) == (name != "odd");
  }
  const Value* other = arguments.Get(0, "other");
  if (other != nullptr) {
    if (name == "equalto" || name == "eq" || name == "==" || name == "sameas")
      return Equal(value, *other, budget);
    if (name == "ne") {
      LR_ASSIGN_OR_RETURN(const bool equal, Equal(value, *other, budget));
      return !equal;
    }
    if (name == "in") return Contains(*other, value, budget);
    for (const auto& [test, order] : {std::pair("gt", 1), std::pair("lt", -1)}) {
      if (name != test) continue;
      LR_ASSIGN_OR_RETURN(const int compared, Compare(value, *other));
      return compared == order;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("the test ", name, " is not supported"));
}

}  // namespace longrun::serving::jinja
