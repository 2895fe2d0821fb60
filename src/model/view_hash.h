// For absl's hash tables keyed by text: they then look up a std::string_view as it is. (Debian's
// absl has a string_view of its own, which its default hash insists on.)
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace longrun::model {

struct ViewHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return XXH3_64bits(text.data(), text.size()); }
};

template <class Value>
using TextMap = absl::flat_hash_map<std::string, Value, ViewHash, std::equal_to<>>;
// The texts must outlive it.
using ViewSet = absl::flat_hash_set<std::string_view, ViewHash, std::equal_to<>>;

}  // namespace longrun::model
