#include "api/run_request.h"

#include <filesystem>

#include "fleet/manifest.h"

namespace longrun::api {

absl::StatusOr<fleet::RunSpec> SpecOf(const v1::SubmitRequest& request) {
  LR_ASSIGN_OR_RETURN(fleet::RunSpec spec,
                      fleet::ParseManifest(request.manifest(), request.manifest_name()));
  if (!request.name().empty()) {
    LR_RETURN_IF_ERROR(fleet::CheckRunName(request.name()));
    spec.name = fleet::RunId(request.name());
  }
  const std::filesystem::path folder = request.working_folder();
  std::string path = (folder / spec.working_folder).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  spec.working_folder = path;
  return spec;
}

}  // namespace longrun::api
