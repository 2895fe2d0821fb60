// The compiled half of the Python package: the library's functions on NumPy arrays. The half that
// people call, with frames and keywords, is python/longrun.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "base/status.h"

namespace longrun::python {

void AddFit(pybind11::module_& module);
void AddPlan(pybind11::module_& module);

// Raises what fits an error: Refused for what could be done but must not be trusted or is out of
// reach, else ValueError.
[[noreturn]] void Raise(const absl::Status& status);

template <class T>
T OrRaise(absl::StatusOr<T> value) {
  if (!value.ok()) Raise(value.status());
  return *std::move(value);
}

}  // namespace longrun::python
