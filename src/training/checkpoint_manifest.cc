#include "training/checkpoint_manifest.h"

#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace longrun::training {
namespace {

using Json = nlohmann::ordered_json;

// 64-bit sums as hexadecimal text: JSON numbers beyond 2^53 do not survive every reader.
std::string Hex(uint64_t value) { return absl::StrCat(absl::Hex(value, absl::kZeroPad16)); }

Json ToJson(const CheckpointShard& shard) {
  const RankCoordinates& c = shard.coordinates;
  return {{"file", shard.file},
          {"bytes", shard.bytes},
          {"xxh3", Hex(shard.checksum)},
          {"begin", shard.begin},
          {"end", shard.end},
          {"data", {c.data, c.data_world}},
          {"tensor", {c.tensor, c.tensor_world}},
          {"pipeline", {c.pipeline, c.pipeline_world}}};
}

// Reads fields of one object and remembers the first mistake.
class Fields {
 public:
  Fields(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json.is_object()) Fail("it", "is no object");
  }
  const absl::Status& status() const { return status_; }

  int64_t Int(const char* key, int64_t lo = 0) {
    const Json* value = Find(key);
    if (value == nullptr) return lo;
    if (!value->is_number_integer() ||
        (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX})) {
      Fail(key, "is no whole number");
      return lo;
    }
    const int64_t number = value->get<int64_t>();
    if (number < lo) Fail(key, "is out of range");
    return number;
  }
  uint64_t Sum(const char* key) {
    const std::string text = Text(key);
    uint64_t value = 0;
    if (text.size() != 16 || !absl::SimpleHexAtoi(text, &value)) {
      Fail(key, "is no 16 hexadecimal digits");
    }
    return value;
  }
  std::string Text(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) return "";
    if (!value->is_string()) {
      Fail(key, "is no text");
      return "";
    }
    return value->get<std::string>();
  }
  void Place(const char* key, int64_t* place, int64_t* world) {
    const Json* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() != 2 || !(*value)[0].is_number_unsigned() ||
        !(*value)[1].is_number_unsigned() || (*value)[0] >= (*value)[1]) {
      return Fail(key, "is no [place, of how many]");
    }
    *place = (*value)[0].get<int64_t>();
    *world = (*value)[1].get<int64_t>();
  }
  const Json* Array(const char* key) {
    const Json* value = Find(key);
    if (value != nullptr && !value->is_array()) {
      Fail(key, "is no list");
      return nullptr;
    }
    return value;
  }
  void Fail(const std::string& key, const std::string& what) {
    if (status_.ok()) status_ = absl::DataLossError(absl::StrCat(path_, ": ", key, " ", what));
  }

 private:
  const Json* Find(const char* key) {
    if (!json_.is_object()) return nullptr;
    const auto it = json_.find(key);
    if (it != json_.end()) return &*it;
    Fail(key, "is missing");
    return nullptr;
  }

  const Json& json_;
  const std::string path_;
  absl::Status status_;
};

absl::StatusOr<Json> Parse(const std::string& text, const std::string& path) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::DataLossError(path + ": is no JSON; it was cut or damaged");
  return json;
}

absl::StatusOr<CheckpointShard> ShardFromJson(const Json& json, const std::string& path) {
  Fields fields(json, path);
  CheckpointShard shard;
  shard.file = fields.Text("file");
  shard.bytes = fields.Int("bytes");
  shard.checksum = fields.Sum("xxh3");
  shard.begin = fields.Int("begin");
  shard.end = fields.Int("end");
  RankCoordinates& c = shard.coordinates;
  fields.Place("data", &c.data, &c.data_world);
  fields.Place("tensor", &c.tensor, &c.tensor_world);
  fields.Place("pipeline", &c.pipeline, &c.pipeline_world);
  if (shard.file.empty() || shard.file.find('/') != std::string::npos || shard.file[0] == '.') {
    fields.Fail("file", "is no name of a file in this folder");
  }
  if (shard.end < shard.begin) fields.Fail("end", "is before begin");
  LR_RETURN_IF_ERROR(fields.status());
  return shard;
}

// The shards, one after the other, are the whole.
absl::Status CheckCoverage(const CheckpointManifest& manifest, const std::string& path) {
  int64_t at = 0;
  std::set<std::string> files;
  for (const CheckpointShard& shard : manifest.shards) {
    if (shard.begin != at) {
      return absl::DataLossError(absl::StrCat(path, ": ", shard.file, " begins at ", shard.begin,
                                              ", not at ", at, " where the one before it ends"));
    }
    if (!files.insert(shard.file).second) {
      return absl::DataLossError(absl::StrCat(path, ": ", shard.file, " stands twice"));
    }
    at = shard.end;
  }
  if (at != manifest.floats) {
    return absl::DataLossError(
        absl::StrCat(path, ": the shards end at ", at, " of ", manifest.floats));
  }
  return absl::OkStatus();
}

}  // namespace

std::string FormatShard(const CheckpointShard& shard) { return ToJson(shard).dump() + "\n"; }

absl::StatusOr<CheckpointShard> ParseShard(const std::string& text, const std::string& path) {
  LR_ASSIGN_OR_RETURN(const Json json, Parse(text, path));
  return ShardFromJson(json, path);
}

std::string FormatManifest(const CheckpointManifest& manifest) {
  Json shards = Json::array();
  for (const CheckpointShard& shard : manifest.shards) shards.push_back(ToJson(shard));
  const Json json = {{"format", "longrun checkpoint"},
                     {"version", 1},
                     {"step", manifest.step},
                     {"config", Hex(manifest.config_hash)},
                     {"layout", Hex(manifest.layout_hash)},
                     {"floats", manifest.floats},
                     {"tensors", manifest.tensors},
                     {"shards", shards}};
  return json.dump(1) + "\n";
}

absl::StatusOr<CheckpointManifest> ParseManifest(const std::string& text, const std::string& path) {
  LR_ASSIGN_OR_RETURN(const Json json, Parse(text, path));
  Fields fields(json, path);
  if (fields.Text("format") != "longrun checkpoint") {
    fields.Fail("format", "is not \"longrun checkpoint\"");
  }
  if (const int64_t version = fields.Int("version"); version != 1) {
    fields.Fail("version", absl::StrCat("is ", version, "; this program reads 1"));
  }
  CheckpointManifest manifest;
  manifest.step = fields.Int("step");
  manifest.config_hash = fields.Sum("config");
  manifest.layout_hash = fields.Sum("layout");
  manifest.floats = fields.Int("floats", 1);
  const Json* tensors = fields.Array("tensors");
  for (size_t i = 0; tensors != nullptr && i < tensors->size(); ++i) {
    if (!(*tensors)[i].is_string()) {
      fields.Fail("tensors", "holds something that is no name");
      break;
    }
    manifest.tensors.push_back((*tensors)[i].get<std::string>());
  }
  const Json* shards = fields.Array("shards");
  LR_RETURN_IF_ERROR(fields.status());
  for (const Json& shard : *shards) {
    LR_ASSIGN_OR_RETURN(manifest.shards.emplace_back(), ShardFromJson(shard, path));
  }
  LR_RETURN_IF_ERROR(CheckCoverage(manifest, path));
  return manifest;
}

}  // namespace longrun::training
