// Invariants. CHECK states what only this code can get wrong; it stays on in release and aborts
// with file, line and the values compared. What the world can do wrong is an absl::Status instead.
#pragma once

#include <sstream>
#include <string>

namespace longrun {

[[noreturn]] void CheckFailed(const char* file, int line, const std::string& what);

namespace internal {
template <class A, class B>
std::string CompareText(const char* expression, const A& a, const B& b) {
  std::ostringstream out;
  out << expression << " (" << a << " against " << b << ")";
  return out.str();
}
}  // namespace internal
}  // namespace longrun

#define LR_CHECK(condition)                                                   \
  do {                                                                        \
    if (!(condition)) ::longrun::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#define LR_CHECK_OP(a, op, b)                                                                  \
  do {                                                                                         \
    const auto& lr_a = (a);                                                                    \
    const auto& lr_b = (b);                                                                    \
    if (!(lr_a op lr_b))                                                                       \
      ::longrun::CheckFailed(__FILE__, __LINE__,                                               \
                             ::longrun::internal::CompareText(#a " " #op " " #b, lr_a, lr_b)); \
  } while (false)
#define LR_CHECK_EQ(a, b) LR_CHECK_OP(a, ==, b)
#define LR_CHECK_NE(a, b) LR_CHECK_OP(a, !=, b)
#define LR_CHECK_LE(a, b) LR_CHECK_OP(a, <=, b)
#define LR_CHECK_LT(a, b) LR_CHECK_OP(a, <, b)
#define LR_CHECK_GE(a, b) LR_CHECK_OP(a, >=, b)
#define LR_CHECK_GT(a, b) LR_CHECK_OP(a, >, b)
