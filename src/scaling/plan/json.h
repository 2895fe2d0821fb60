// A plan as JSON: what --json prints and Python gets. Pure; any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "scaling/plan/plan.h"

namespace longrun::scaling {

// Fields: params, tokens, tokens_per_param, compute, loss, intervals, over_trained, shape, context,
// batch_tokens, flop_per_token, kv_bytes_per_token, cluster (its execution, or null), constraints,
// binding, feasible, reachable, notes. Units stand last in names; counts and FLOP are bare.
nlohmann::ordered_json PlanJson(const Plan& plan, const Cluster* cluster);

}  // namespace longrun::scaling
