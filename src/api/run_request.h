// A request to run something, as what it asks for.
#pragma once

#include "base/status.h"
#include "fleet/spec.h"
#include "proto/api.pb.h"

namespace longrun::api {

// The manifest, checked, with the request's name and folder in it. Client and server both use it:
// the one to tell of mistakes before anything starts, the other to act.
absl::StatusOr<fleet::RunSpec> SpecOf(const v1::SubmitRequest& request);

}  // namespace longrun::api
