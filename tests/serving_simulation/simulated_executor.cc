#include "serving_simulation/simulated_executor.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace longrun::serving_simulation {
namespace {

using serving::BlockCopy;
using serving::Slice;
using serving::StepInput;

uint64_t HashOf(std::span<const TokenId> tokens) {
  uint64_t hash = 0x5eed;
  for (const TokenId token : tokens) hash = Mix64(hash ^ static_cast<uint64_t>(token + 2));
  return hash;
}

float Unit(uint64_t bits) { return static_cast<float>(bits >> 40) / 16777216.0f; }

}  // namespace

// Mostly a short cycle, so that drafts from the prompt are often right; which, and where it breaks,
// depends on every token of the text.
void LogitsAfter(std::span<const TokenId> tokens, std::span<float> logits) {
  const uint64_t hash = HashOf(tokens);
  for (size_t t = 0; t < logits.size(); ++t) logits[t] = 4 * Unit(Mix64(hash + t));
  const uint64_t draw = hash % 100;
  const size_t next = draw < 80   ? static_cast<size_t>(tokens.back() * 5 + 1) % 7
                      : draw < 84 ? static_cast<size_t>(kVocab - 1)
                                  : static_cast<size_t>(hash >> 20) % 256;
  logits[next] += 9;
}

void StateOf(std::span<const TokenId> tokens, std::span<float> states) {
  const uint64_t hash = HashOf(tokens);
  for (size_t i = 0; i < states.size(); ++i) states[i] = Unit(Mix64(hash ^ (i + 77))) - 0.5f;
}

SimulatedExecutor::SimulatedExecutor(const SimulatedExecutorConfig& config, uint64_t seed,
                                     Time* now, std::vector<std::string>* violations)
    : config_(config), random_(seed), now_(now), violations_(violations) {
  shape_.family = "simulated";
  shape_.layers = shape_.heads = shape_.kv_heads = 1;
  shape_.d_model = shape_.head_dim = kStateSize;
  shape_.vocab_size = kVocab;
  shape_.context = config.context;
  shape_.parameters = shape_.weight_bytes = shape_.weight_bytes_per_step = 1000;
  shape_.flops_per_token = 2000;
  shape_.flops_of_head = 100;
}

absl::Status SimulatedExecutor::AllocateCache(int64_t blocks, int64_t block_tokens,
                                              serving::KvType) {
  block_tokens_ = block_tokens;
  slots_.assign(static_cast<size_t>(blocks * block_tokens), -1);
  return absl::OkStatus();
}

TokenId& SimulatedExecutor::At(const Slice& slice, int64_t position) {
  const BlockId block = slice.blocks[static_cast<size_t>(position / block_tokens_)];
  return slots_[static_cast<size_t>(block * block_tokens_ + position % block_tokens_)];
}

// A block that a slice writes to is in no other slice's table, neither to write nor to read.
void SimulatedExecutor::CheckWriters(const StepInput& input) {
  std::map<BlockId, int> readers;
  std::set<BlockId> written;
  for (const Slice& slice : input.slices) {
    for (const BlockId block : slice.blocks) ++readers[block];
    const int64_t end = slice.position + static_cast<int64_t>(slice.tokens.size());
    for (int64_t b = slice.position / block_tokens_; b * block_tokens_ < end; ++b) {
      const BlockId block = slice.blocks[static_cast<size_t>(b)];
      if (!written.insert(block).second) Violate(absl::StrCat("block ", block, " has two writers"));
    }
  }
  for (const BlockId block : written) {
    if (readers[block] > 1) Violate(absl::StrCat("block ", block, " is written and shared"));
  }
}

bool SimulatedExecutor::Write(const StepInput& input, bool garbage) {
  for (const BlockCopy& copy : input.copies) {
    std::copy_n(slots_.begin() + copy.from * block_tokens_, block_tokens_,
                slots_.begin() + copy.to * block_tokens_);
    ++copies;
  }
  for (const Slice& slice : input.slices) {
    const int64_t n = static_cast<int64_t>(slice.tokens.size());
    if (n < 1 || (slice.position + n + block_tokens_ - 1) / block_tokens_ >
                     static_cast<int64_t>(slice.blocks.size())) {
      Violate("a slice that is empty or whose table is too short");
      return false;
    }
    for (int64_t i = 0; i < n; ++i) {
      At(slice, slice.position + i) = garbage ? static_cast<TokenId>(random_.Below(kVocab))
                                              : slice.tokens[static_cast<size_t>(i)];
    }
  }
  return true;
}

// The text is what the blocks hold, not what the engine believes it wrote.
void SimulatedExecutor::Read(const Slice& slice) {
  const int64_t n = static_cast<int64_t>(slice.tokens.size());
  std::vector<TokenId> text;
  for (int64_t i = 0; i < slice.position + n; ++i) text.push_back(At(slice, i));
  const auto until = [&text, &slice](int64_t token) {
    return std::span(text).first(static_cast<size_t>(slice.position + token + 1));
  };
  for (int64_t i = n - slice.logits; i < n; ++i) {
    logits_.resize(logits_.size() + kVocab);
    LogitsAfter(until(i), std::span(logits_).last(kVocab));
  }
  for (int64_t i = 0; slice.states && i < n; ++i) {
    states_.resize(states_.size() + kStateSize);
    StateOf(until(i), std::span(states_).last(kStateSize));
  }
}

absl::StatusOr<serving::StepOutput> SimulatedExecutor::Run(const StepInput& input) {
  if (on_run) on_run();
  int64_t tokens = 0;
  for (const Slice& slice : input.slices) tokens += static_cast<int64_t>(slice.tokens.size());
  tokens_computed += tokens;
  *now_ = *now_ + Duration::Seconds(config_.fixed_seconds +
                                    config_.seconds_per_token * static_cast<double>(tokens));
  logits_.clear();
  states_.clear();
  const bool fails = random_.Chance(config_.failure);
  if (!Write(input, fails)) return absl::InternalError("a bad slice");
  CheckWriters(input);
  if (fails) {
    ++failed;
    return absl::InternalError("the device failed, as it was told to");
  }
  for (const Slice& slice : input.slices) Read(slice);
  return serving::StepOutput{logits_, states_};
}

absl::Status SimulatedExecutor::SwapOut(std::span<const BlockId> blocks,
                                        std::vector<std::byte>* to) {
  const size_t bytes = static_cast<size_t>(block_tokens_) * sizeof(TokenId);
  *now_ = *now_ + Duration::Seconds(static_cast<double>(bytes * blocks.size()) /
                                    config_.swap_bytes_per_second);
  if (random_.Chance(config_.swap_failure)) return absl::InternalError("no room on the host");
  to->resize(bytes * blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    memcpy(to->data() + i * bytes, &slots_[static_cast<size_t>(blocks[i] * block_tokens_)], bytes);
  }
  ++swapped_out;
  return absl::OkStatus();
}

absl::Status SimulatedExecutor::SwapIn(std::span<const std::byte> from,
                                       std::span<const BlockId> blocks) {
  const size_t bytes = static_cast<size_t>(block_tokens_) * sizeof(TokenId);
  if (from.size() != bytes * blocks.size()) {
    Violate("swapped in other blocks than were swapped out");
    return absl::InternalError("sizes");
  }
  if (random_.Chance(config_.swap_failure)) return absl::InternalError("the bytes are gone");
  for (size_t i = 0; i < blocks.size(); ++i) {
    memcpy(&slots_[static_cast<size_t>(blocks[i] * block_tokens_)], from.data() + i * bytes, bytes);
  }
  ++swapped_in;
  return absl::OkStatus();
}

}  // namespace longrun::serving_simulation
