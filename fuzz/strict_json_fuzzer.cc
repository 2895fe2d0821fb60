// Any bytes are JSON or an error; what is read comes back from what it is written as, with and
// without the order of its keys.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "model/strict_json.h"

using longrun::model::ParseStrictJson;
using longrun::model::ParseStrictOrderedJson;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = ParseStrictJson(text, "input");
  const auto ordered = ParseStrictOrderedJson(text, "input");
  LR_CHECK_EQ(value.ok(), ordered.ok());
  if (!value.ok()) return 0;
  const auto again = ParseStrictJson(value->dump(), "written");
  LR_CHECK(again.ok());
  LR_CHECK(*again == *value);
  LR_CHECK(ParseStrictOrderedJson(ordered->dump(), "written")->dump() == ordered->dump());
  return 0;
}
