// The engine's figures, kept as things happen. Owned by EngineCore, on its thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "serving/engine/engine.h"
#include "serving/engine/sequence.h"

namespace longrun::serving {

class EngineAccounts {
 public:
  explicit EngineAccounts(const ModelShape& shape, KvType kv_type);

  void Arrived(const Progress& request);
  void Admitted(Progress* request, int64_t cached_tokens, Time now);
  void Generated(Progress* request, Sequence* sequence, int64_t tokens, Time now);
  void Ended(const Progress& request, FinishReason reason, Time now);
  // A step's analytic counts: arithmetic, and bytes that must cross the memory bus at the least
  // (weights once, each sequence's keys and values once).
  void Step(const StepInput& input, double seconds, int64_t prompt_tokens);

  EngineStats& stats() { return stats_; }
  const EngineStats& stats() const { return stats_; }

 private:
  TenantStats& Of(const std::string& tenant);

  ModelShape shape_;
  KvType kv_type_;
  EngineStats stats_;
  absl::flat_hash_map<std::string, size_t> tenants_;  // place in stats_.tenants
};

}  // namespace longrun::serving
