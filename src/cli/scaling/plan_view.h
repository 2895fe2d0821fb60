// A plan as people read it. Pure; any thread.
#pragma once

#include <string>

#include "scaling/plan/plan.h"

namespace longrun::cli {

// Some twenty lines of at most about 100 columns; `law`: what the plan goes by, in words.
// `cluster`: null where the plan has none.
std::string PlanText(const scaling::Plan& plan, const scaling::Cluster* cluster,
                     const std::string& law);

}  // namespace longrun::cli
