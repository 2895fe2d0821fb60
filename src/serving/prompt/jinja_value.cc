#include "serving/prompt/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace longrun::serving::jinja {
namespace {

bool IsNumeric(const Value& v) { return v.number() || std::holds_alternative<bool>(v.of); }

std::string PrintDouble(double value) {
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  if (std::isnan(value)) return "nan";
  std::string text = nlohmann::json(value).dump();  // the shortest that reads back the same
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// Writes one value; the same for all of its parts.
class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget* budget) : style_(style), budget_(budget) {}

  absl::Status Append(const Value& value, int depth) {
    LR_RETURN_IF_ERROR(budget_->Spend(2));
    if (value.none()) return Put("null");
    if (const bool* b = std::get_if<bool>(&value.of)) return Put(*b ? "true" : "false");
    if (const MarkedText* text = value.text()) return AppendQuoted(*text);
    if (value.number()) {
      LR_ASSIGN_OR_RETURN(const MarkedText printed, Printed(value));
      return Put(printed.bytes());
    }
    if (const List* list = value.list()) {
      return AppendParts("[]", list->size(), depth,
                         [&](size_t i) { return Append((*list)[i], depth + 1); });
    }
    if (const Map* map = value.map()) {
      return AppendParts("{}", map->size(), depth, [&](size_t i) {
        LR_RETURN_IF_ERROR(AppendQuoted((*map)[i].first));
        LR_RETURN_IF_ERROR(Put(style_.colon));
        return Append((*map)[i].second, depth + 1);
      });
    }
    return absl::InvalidArgumentError(
        absl::StrCat("tojson: ", std::string(value.kind()), " has no JSON"));
  }

  MarkedText Take() && { return std::move(out_); }

 private:
  absl::Status Put(std::string_view text) {
    out_.Append(text, Origin::kMessage);
    return absl::OkStatus();
  }

  absl::Status AppendQuoted(const MarkedText& text) {
    using nlohmann::json;
    LR_RETURN_IF_ERROR(budget_->SpendText(text.size()));
    out_.Append(json(text.bytes()).dump(-1, ' ', false, json::error_handler_t::replace),
                text.OriginOfAll());
    return absl::OkStatus();
  }

  template <class AppendPart>
  absl::Status AppendParts(std::string_view brackets, size_t parts, int depth, AppendPart append) {
    if (parts == 0) return Put(brackets);
    LR_RETURN_IF_ERROR(Put(brackets.substr(0, 1)));
    for (size_t i = 0; i < parts; ++i) {
      if (i > 0) LR_RETURN_IF_ERROR(Put(style_.comma));
      LR_RETURN_IF_ERROR(Newline(depth + 1));
      LR_RETURN_IF_ERROR(append(i));
    }
    LR_RETURN_IF_ERROR(Newline(depth));
    return Put(brackets.substr(1));
  }

  absl::Status Newline(int depth) {
    if (style_.indent < 0) return absl::OkStatus();
    const auto blanks = static_cast<size_t>(style_.indent * depth);
    LR_RETURN_IF_ERROR(budget_->SpendText(blanks));
    return Put("\n" + std::string(blanks, ' '));
  }

  const JsonStyle& style_;
  Budget* const budget_;
  MarkedText out_;
};

}  // namespace

absl::Status Budget::Spend(int64_t work) {
  if (work > work_) return absl::ResourceExhaustedError("the template does too much");
  work_ -= work;
  return absl::OkStatus();
}

absl::Status Budget::SpendSearch(size_t bytes, size_t pattern) {
  return Spend(static_cast<int64_t>((1 + bytes / 8) * (1 + pattern / 64)));
}

absl::Status Budget::SpendParts(size_t parts) {
  LR_RETURN_IF_ERROR(Spend(static_cast<int64_t>(parts)));
  if (static_cast<int64_t>(parts) > parts_)
    return absl::ResourceExhaustedError("the template makes too many parts");
  parts_ -= static_cast<int64_t>(parts);
  return absl::OkStatus();
}

Value Value::Text(MarkedText text) { return {std::make_shared<const MarkedText>(std::move(text))}; }
Value Value::Text(std::string text, Origin origin) {
  return Text(MarkedText(std::move(text), origin));
}

Value Value::OfList(List list) {
  int depth = 0;
  for (const Value& item : list) depth = std::max(depth, item.depth);
  return {std::make_shared<const List>(std::move(list)), depth + 1};
}

Value Value::OfMap(Map map) {
  int depth = 0;
  for (const auto& [key, value] : map) depth = std::max(depth, value.depth);
  return {std::make_shared<const Map>(std::move(map)), depth + 1};
}

const MarkedText* Value::text() const {
  const auto* held = std::get_if<std::shared_ptr<const MarkedText>>(&of);
  return held == nullptr ? nullptr : held->get();
}
const List* Value::list() const {
  const auto* held = std::get_if<std::shared_ptr<const List>>(&of);
  return held == nullptr ? nullptr : held->get();
}
const Map* Value::map() const {
  const auto* held = std::get_if<std::shared_ptr<const Map>>(&of);
  return held == nullptr ? nullptr : held->get();
}

bool Value::number() const {
  return std::holds_alternative<int64_t>(of) || std::holds_alternative<double>(of);
}

double Value::AsDouble() const {
  if (const bool* b = std::get_if<bool>(&of)) return *b ? 1 : 0;
  if (const int64_t* i = std::get_if<int64_t>(&of)) return static_cast<double>(*i);
  const double* d = std::get_if<double>(&of);
  return d == nullptr ? 0 : *d;
}

absl::StatusOr<int64_t> Value::AsInt() const {
  if (const bool* b = std::get_if<bool>(&of)) return *b ? 1 : 0;
  if (const int64_t* i = std::get_if<int64_t>(&of)) return *i;
  return absl::InvalidArgumentError(
      absl::StrCat("a whole number is needed, not ", std::string(kind())));
}

bool Value::Truth() const {
  if (undefined() || none()) return false;
  if (const bool* b = std::get_if<bool>(&of)) return *b;
  if (number()) return AsDouble() != 0;
  if (const MarkedText* t = text()) return !t->empty();
  if (const List* l = list()) return !l->empty();
  if (const Map* m = map()) return !m->empty();
  return true;
}

std::string_view Value::kind() const {
  static constexpr std::string_view kKinds[] = {
      "an undefined value", "none",    "a boolean",  "a whole number",
      "a number",           "text",    "a list",     "a map",
      "a namespace",        "a macro", "a function", "a method"};
  return kKinds[of.index()];
}

template <class Json>
Value FromJson(const Json& json) {
  using Type = typename Json::value_t;
  switch (json.type()) {
    case Type::boolean:
      return {json.template get<bool>()};
    case Type::number_unsigned:
      if (json.template get<uint64_t>() > INT64_MAX) return {json.template get<double>()};
      return {json.template get<int64_t>()};
    case Type::number_integer:
      return {json.template get<int64_t>()};
    case Type::number_float:
      return {json.template get<double>()};
    case Type::string:
      return Value::Text(json.template get<std::string>(), Origin::kMessage);
    case Type::array: {
      List list;
      for (const auto& item : json) list.push_back(FromJson(item));
      return Value::OfList(std::move(list));
    }
    case Type::object: {
      Map map;
      for (const auto& [key, item] : json.items())
        map.emplace_back(MarkedText(key, Origin::kMessage), FromJson(item));
      return Value::OfMap(std::move(map));
    }
    default:
      return {None{}};
  }
}

template Value FromJson(const nlohmann::json& json);
template Value FromJson(const nlohmann::ordered_json& json);

absl::StatusOr<bool> Equal(const Value& a, const Value& b, Budget* budget) {
  LR_RETURN_IF_ERROR(budget->Spend(1));
  if (IsNumeric(a) && IsNumeric(b)) return a.AsDouble() == b.AsDouble();
  if (a.of.index() != b.of.index()) return false;
  if (a.text()) {
    LR_RETURN_IF_ERROR(budget->SpendText(a.text()->size()));
    return a.text()->bytes() == b.text()->bytes();
  }
  if (a.list()) {
    if (a.list()->size() != b.list()->size()) return false;
    for (size_t i = 0; i < a.list()->size(); ++i) {
      LR_ASSIGN_OR_RETURN(const bool equal, Equal((*a.list())[i], (*b.list())[i], budget));
      if (!equal) return false;
    }
    return true;
  }
  if (a.map()) {
    if (a.map()->size() != b.map()->size()) return false;
    LR_RETURN_IF_ERROR(budget->Spend(static_cast<int64_t>(a.map()->size() * a.map()->size())));
    for (const auto& [key, value] : *a.map()) {
      const Value* other = Find(*b.map(), key.bytes());
      if (other == nullptr) return false;
      LR_ASSIGN_OR_RETURN(const bool equal, Equal(value, *other, budget));
      if (!equal) return false;
    }
    return true;
  }
  return a.none() || a.undefined();
}

absl::StatusOr<int> Compare(const Value& a, const Value& b) {
  if (a.text() && b.text()) {
    const int order = a.text()->bytes().compare(b.text()->bytes());
    return order < 0 ? -1 : order > 0;
  }
  if (IsNumeric(a) && IsNumeric(b)) {
    const double x = a.AsDouble(), y = b.AsDouble();
    return x < y ? -1 : x > y;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(a.kind()), " and ", std::string(b.kind()), " have no order"));
}

const Value* Find(const Map& map, std::string_view key) {
  for (const auto& [name, value] : map)
    if (name.bytes() == key) return &value;
  return nullptr;
}

absl::StatusOr<MarkedText> Printed(const Value& value) {
  if (const MarkedText* text = value.text()) return *text;
  std::string plain;
  if (value.none()) {
    plain = "None";
  } else if (const bool* b = std::get_if<bool>(&value.of)) {
    plain = *b ? "True" : "False";
  } else if (const int64_t* i = std::get_if<int64_t>(&value.of)) {
    plain = absl::StrCat(*i);
  } else if (const double* d = std::get_if<double>(&value.of)) {
    plain = PrintDouble(*d);
  } else if (!value.undefined()) {
    return absl::InvalidArgumentError(absl::StrCat(
        std::string(value.kind()), " cannot be printed; the filter tojson or join makes it text"));
  }
  return MarkedText(std::move(plain), Origin::kTemplate);
}

absl::StatusOr<MarkedText> ToJson(const Value& value, const JsonStyle& style, Budget* budget) {
  if (style.indent > 16) return absl::InvalidArgumentError("tojson: at most 16 columns are right");
  JsonWriter writer(style, budget);
  LR_RETURN_IF_ERROR(writer.Append(value, 0));
  return std::move(writer).Take();
}

}  // namespace longrun::serving::jinja
