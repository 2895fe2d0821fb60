#include <fmt/core.h>

#include <filesystem>
#include <utility>

#include "model/safetensors.h"
#include "model/strict_json.h"

namespace longrun::model {
namespace {

using nlohmann::json;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

// Tensor name → name of the shard beside the index.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const json index, ReadStrictJson(path, kSafetensorsHeaderLimit));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: an object with \"weight_map\": {{tensor: file}} is right", path));
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    // A shard lies beside its index: a path could lead to any file of the machine.
    if (!file.is_string() || file.get_ref<const std::string&>().empty() ||
        file.get_ref<const std::string&>().find('/') != std::string::npos) {
      return absl::InvalidArgumentError(fmt::format(
          "{}: weight_map: tensor \"{}\": the name of a file in the same folder is right", path,
          tensor));
    }
    shards[tensor] = file.get<std::string>();
  }
  return shards;
}

}  // namespace

absl::StatusOr<SafetensorsModel> SafetensorsModel::Open(const std::string& path) {
  namespace fs = std::filesystem;
  SafetensorsModel model;
  model.path_ = path;
  std::error_code error;
  const fs::path index = fs::path(path) / kIndex;
  if (!fs::is_directory(path, error) || !fs::exists(index, error)) {
    const std::string single =
        fs::is_directory(path, error) ? (fs::path(path) / kSingle).string() : path;
    if (!fs::exists(single, error)) {
      return absl::NotFoundError(
          single == path ? fmt::format("{}: no such file or folder", path)
                         : fmt::format("{} holds neither {} nor {}", path, kSingle, kIndex));
    }
    LR_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(single));
    model.files_.push_back(std::move(file));
    model.tensors_ = model.files_.back().tensors();
    return model;
  }
  LR_ASSIGN_OR_RETURN(const auto shards, ReadIndex(index.string()));
  std::map<std::string, size_t> opened;  // shard → place in files_
  for (const auto& [tensor, shard] : shards) {
    const auto [it, is_new] = opened.try_emplace(shard, model.files_.size());
    if (is_new) {
      LR_ASSIGN_OR_RETURN(SafetensorsFile file,
                          SafetensorsFile::Open((fs::path(path) / shard).string()));
      model.files_.push_back(std::move(file));
    }
    LR_ASSIGN_OR_RETURN(model.tensors_[tensor], model.files_[it->second].Get(tensor));
  }
  return model;
}

absl::StatusOr<TensorView> SafetensorsModel::Get(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    return absl::NotFoundError(fmt::format("{} holds no tensor \"{}\"", path_, name));
  }
  return it->second;
}

}  // namespace longrun::model
