#include "worker/model_folder.h"

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace longrun::worker {
namespace {

namespace fs = std::filesystem;

constexpr char kRight[] =
    "a folder as Hugging Face has them, with config.json, safetensors and a tokenizer, is right";

absl::Status NothingThere(const std::string& model) {
  // As ids of Hugging Face are.
  const bool like_id = !model.starts_with('/') && !model.starts_with('.') &&
                       model.find('/') != std::string::npos &&
                       model.find('/') == model.rfind('/') && !model.ends_with('/');
  return absl::NotFoundError(absl::StrCat(
      model, ": there is no such folder, nor a run of that name; ", kRight,
      like_id
          ? absl::StrCat(". To fetch it from there: hf download ", model, " --local-dir ", model)
          : ""));
}

absl::Status Lacking(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() != ".gguf") continue;
    return absl::InvalidArgumentError(absl::StrCat(
        folder, ": holds ", it->path().filename().string(), ", and GGUF is not read; ", kRight));
  }
  return absl::NotFoundError(absl::StrCat(folder, ": holds no config.json; ", kRight));
}

}  // namespace

absl::StatusOr<std::string> FindModelFolder(const std::string& model, const std::string& runs_dir) {
  std::error_code error;
  std::string folder = model;
  if (!fs::exists(model, error)) {
    if (runs_dir.empty() || model.find('/') != std::string::npos ||
        !fs::exists(fs::path(runs_dir) / model, error)) {
      return NothingThere(model);
    }
    folder = (fs::path(runs_dir) / model / "model").string();
    if (!fs::exists(folder, error)) {
      return absl::NotFoundError(
          absl::StrCat("run ", model, " has no model yet: ", folder, " is not there"));
    }
  }
  if (!fs::is_directory(folder, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": is a file; ",
                     folder.ends_with(".gguf") ? "GGUF is not read, and " : "", kRight));
  }
  if (!fs::exists(fs::path(folder) / "config.json", error)) return Lacking(folder);
  return folder;
}

}  // namespace longrun::worker
