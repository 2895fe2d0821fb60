// The manifest of a run, as `kubectl apply` would take it too: YAML text to RunSpec.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "fleet/spec.h"

namespace longrun::fleet {

// `name`: how messages call the text. Every mistake is reported at once, each with file, line,
// field and what would be right; unknown fields are mistakes.
absl::StatusOr<RunSpec> ParseManifest(std::string_view text, const std::string& name);

// OK when `name` may name a run: a DNS label (RFC 1123), which Kubernetes, host names and folders
// all accept. The message begins with the name.
absl::Status CheckRunName(const std::string& name);

}  // namespace longrun::fleet
