// A prediction as a file, written before the run: what was foretold, from which data, when. It
// holds all that is needed to judge the run later, or while it goes on. Text in, text out; any
// thread.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "scaling/fit/fit_file.h"
#include "scaling/forecast/curve.h"
#include "scaling/forecast/forecast.h"

namespace longrun::scaling {

struct Registration {
  std::string registered;  // when, as FormatTime writes it; the caller's clock
  DataSource source;       // of the fit
  std::string fit_made;    // when the fit was
  Forecast forecast;
  LossPrediction prediction;
  std::optional<CurveShape> shape;
};

std::string WriteRegistration(const Registration& registration);

// `name`: how messages call the text. An error says what is missing or cannot be.
absl::StatusOr<Registration> ReadRegistration(const std::string& text, const std::string& name);

}  // namespace longrun::scaling
