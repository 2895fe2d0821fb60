// Any bytes are a safetensors file's header and data, or an error. The tensors of a header fill the
// data, and the header comes back from what it is written as.
#include "model/safetensors_header.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longrun::model;
  uint64_t header_bytes = 0;
  if (size < 8) return 0;
  std::memcpy(&header_bytes, data, 8);
  const std::string_view rest(reinterpret_cast<const char*>(data) + 8, size - 8);
  if (header_bytes > rest.size()) return 0;
  const auto data_bytes = static_cast<int64_t>(rest.size() - header_bytes);
  const auto header = ParseSafetensorsHeader(rest.substr(0, header_bytes), data_bytes, "input");
  if (!header.ok()) return 0;
  int64_t total = 0;
  for (const auto& [name, tensor] : header->tensors) {
    LR_CHECK(tensor.begin >= 0 && tensor.end >= tensor.begin && tensor.end <= data_bytes);
    LR_CHECK_EQ(TensorBytes(tensor.dtype, tensor.shape), tensor.end - tensor.begin);
    total += tensor.end - tensor.begin;
  }
  LR_CHECK_EQ(total, data_bytes);
  const auto written = FormatSafetensorsHeader(*header);
  LR_CHECK(written.ok());
  const auto again = ParseSafetensorsHeader(*written, data_bytes, "written");
  LR_CHECK(again.ok());
  LR_CHECK_EQ(again->tensors.size(), header->tensors.size());
  LR_CHECK(again->metadata == header->metadata);
  return 0;
}
