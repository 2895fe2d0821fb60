// absl::Status and the two macros that pass one on. Messages are for the user: they name the file,
// line and field, and say what would be right.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define LR_CONCAT_INNER(a, b) a##b
#define LR_CONCAT(a, b) LR_CONCAT_INNER(a, b)

#define LR_RETURN_IF_ERROR(expression)     \
  do {                                     \
    absl::Status lr_status = (expression); \
    if (!lr_status.ok()) return lr_status; \
  } while (false)

#define LR_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expression) \
  auto tmp = (expression);                             \
  if (!tmp.ok()) return std::move(tmp).status();       \
  lhs = *std::move(tmp)
#define LR_ASSIGN_OR_RETURN(lhs, expression) \
  LR_ASSIGN_OR_RETURN_IMPL(LR_CONCAT(lr_or_, __LINE__), lhs, expression)
