// A fit as Python holds it.
#pragma once

#include <optional>

#include "scaling/fit/fit_file.h"
#include "scaling/forecast/forecast.h"

namespace longrun::python {

struct HeldFit {
  scaling::FitRecord record;
  std::optional<scaling::Forecast> forecast;  // made when it is first asked for
};

// Raises Refused, with the reasons, for a fit that is not to be trusted.
void CheckTrusted(const HeldFit& fit);

}  // namespace longrun::python
