#include "serving/prompt/jinja_arithmetic.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace longrun::serving::jinja {
namespace {

absl::Status Mismatch(const std::string& sign, const Value& a, const Value& b) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", sign, "\" does not go with ", std::string(a.kind()), " and ", std::string(b.kind())));
}

bool IsNumeric(const Value& v) { return v.number() || std::holds_alternative<bool>(v.of); }
bool IsDouble(const Value& v) { return std::holds_alternative<double>(v.of); }

absl::StatusOr<Value> Concatenate(const MarkedText& a, const MarkedText& b, Budget* budget) {
  LR_RETURN_IF_ERROR(budget->SpendText(a.size() + b.size()));
  MarkedText text = a;
  text.Append(b);
  return Value::Text(std::move(text));
}

absl::StatusOr<Value> Repeat(const MarkedText& text, int64_t times, Budget* budget) {
  MarkedText out;
  for (int64_t i = 0; i < times; ++i) {
    LR_RETURN_IF_ERROR(budget->SpendText(text.size()));
    out.Append(text);
  }
  return Value::Text(std::move(out));
}

absl::StatusOr<Value> OfDoubles(const std::string& sign, double a, double b) {
  if (sign == "+") return Value{a + b};
  if (sign == "-") return Value{a - b};
  if (sign == "*") return Value{a * b};
  if (sign == "**") return Value{std::pow(a, b)};
  if (b == 0) return absl::InvalidArgumentError("division by 0");
  if (sign == "/") return Value{a / b};
  const double whole = std::floor(a / b);
  return sign == "//" ? Value{whole} : Value{a - whole * b};
}

absl::StatusOr<Value> Power(int64_t a, int64_t b) {
  int64_t result = 1;
  for (int64_t i = 0; i < b; ++i) {
    if (__builtin_mul_overflow(result, a, &result))
      return absl::InvalidArgumentError("a number beyond 64 bits");
    if (a == 0 || a == 1) break;
    if (a == -1) return Value{b % 2 == 0 ? int64_t{1} : int64_t{-1}};
  }
  return Value{result};
}

absl::StatusOr<Value> OfInts(const std::string& sign, int64_t a, int64_t b) {
  int64_t result = 0;
  bool over = false;
  if (sign == "+") {
    over = __builtin_add_overflow(a, b, &result);
  } else if (sign == "-") {
    over = __builtin_sub_overflow(a, b, &result);
  } else if (sign == "*") {
    over = __builtin_mul_overflow(a, b, &result);
  } else if (b == 0) {
    return absl::InvalidArgumentError("division by 0");
  } else if (b == -1 && a == std::numeric_limits<int64_t>::min()) {
    over = true;
  } else {
    const int64_t remainder = a % b;
    const bool down = remainder != 0 && (remainder < 0) != (b < 0);  // towards minus infinity
    result = sign == "//" ? a / b - (down ? 1 : 0) : remainder + (down ? b : 0);
  }
  if (over) return absl::InvalidArgumentError("a number beyond 64 bits");
  return Value{result};
}

}  // namespace

absl::StatusOr<Value> Arithmetic(const std::string& sign, const Value& a, const Value& b,
                                 Budget* budget) {
  if (sign == "~") {
    LR_ASSIGN_OR_RETURN(const MarkedText left, Printed(a));
    LR_ASSIGN_OR_RETURN(const MarkedText right, Printed(b));
    return Concatenate(left, right, budget);
  }
  if (sign == "+" && a.text() && b.text()) return Concatenate(*a.text(), *b.text(), budget);
  if (sign == "+" && a.list() && b.list()) {
    LR_RETURN_IF_ERROR(budget->Spend(static_cast<int64_t>(a.list()->size() + b.list()->size())));
    List list = *a.list();
    list.insert(list.end(), b.list()->begin(), b.list()->end());
    return Value::OfList(std::move(list));
  }
  if (sign == "*" && a.text() && b.AsInt().ok()) return Repeat(*a.text(), *b.AsInt(), budget);
  if (!IsNumeric(a) || !IsNumeric(b)) return Mismatch(sign, a, b);
  if (IsDouble(a) || IsDouble(b) || sign == "/") return OfDoubles(sign, a.AsDouble(), b.AsDouble());
  const int64_t x = *a.AsInt(), y = *b.AsInt();
  if (sign != "**") return OfInts(sign, x, y);
  return y < 0 ? OfDoubles(sign, a.AsDouble(), b.AsDouble()) : Power(x, y);
}

}  // namespace longrun::serving::jinja
