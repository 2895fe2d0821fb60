// The names of things in the fleet.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace longrun::fleet {

using RunId = Name<struct RunTag>;
using NodeId = Name<struct NodeTag>;
using SiteId = Name<struct SiteTag>;

// A process of a run: ranks and spares alike. Counted from 1 within the run and never used twice,
// so a late message about a process that is gone can never be taken for its successor.
using MemberId = int64_t;

}  // namespace longrun::fleet
