// The JSON header of a safetensors file: read with every check, and written. Pure functions of any
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/safetensors.h"

namespace longrun::model {

struct TensorPlace {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // in the data, which begins after the header
  int64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<std::pair<std::string, TensorPlace>> tensors;  // in the header's order
  std::map<std::string, std::string> metadata;
};

// Reads and checks a header before `data_bytes` of data: names unique, dtypes known, the product of
// the shape and the dtype's size equal to the offsets' distance, and the tensors together fill the
// data without overlap or hole. DataLoss names `path` and the tensor.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json, int64_t data_bytes,
                                                         const std::string& path);

// The header's JSON, padded with spaces so that the data begins at a multiple of 64 bytes.
// InvalidArgument where a name or the metadata is not UTF-8.
absl::StatusOr<std::string> FormatSafetensorsHeader(const SafetensorsHeader& header);

// product(shape) × BytesOf(dtype), or -1 where it overflows or a dimension is negative.
int64_t TensorBytes(DType dtype, const std::vector<int64_t>& shape);

}  // namespace longrun::model
