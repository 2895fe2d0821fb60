// What a client is shown of the fleet: plain messages made from fleet::State.
#pragma once

#include "base/time.h"
#include "fleet/state.h"
#include "proto/api.pb.h"

namespace longrun::api {

// `now`: for accounts and ages of what is still under way; not before the newest event.
v1::RunView ViewOf(const fleet::Run& run, Time now);
v1::NodeView ViewOf(const fleet::Node& node);

}  // namespace longrun::api
