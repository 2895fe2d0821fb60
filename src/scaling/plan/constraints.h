// Which limit stands in the way first, and what a tenth more of each would buy. Pure; any thread.
#pragma once

#include "scaling/plan/plan.h"
#include "scaling/plan/solve.h"

namespace longrun::scaling {

// Sets plan.constraints, binding, feasible and reachable from a solution of `request`.
//
// Where the lowest loss is sought, the limit whose tenth lowers it most binds. Where the training
// is given, the limit that is exceeded most binds, and where all are kept the one whose tenth
// shortens the training most.
void AddConstraints(const PlanRequest& request, const Cluster* cluster, const Solution& solution,
                    Plan& plan);

}  // namespace longrun::scaling
