#include "serving/schedule/memory_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"

namespace longrun::serving {
namespace {

double ReservedBytes(const MemoryQuestion& q) {
  double all = 0;
  for (const MemoryQuestion::Part& part : q.reserved) all += part.bytes;
  return all;
}

double BlockBytes(const MemoryQuestion& q, KvType type) {
  return static_cast<double>(q.shape.KvBytesPerToken(type) * q.block_tokens);
}

int64_t BlocksOfContext(const MemoryQuestion& q) {
  return (q.shape.context + q.block_tokens - 1) / q.block_tokens;
}

double CacheRoom(const MemoryQuestion& q, double weight_bytes) {
  return q.limit_bytes - ReservedBytes(q) - weight_bytes - q.activation_bytes;
}

// What the process takes differs from start to start; advice is to hold at the next.
constexpr double kSlackBytes = 16e6;

// Never below `bytes`.
std::string AsFlag(double bytes) {
  return bytes < 1e10 ? absl::StrCat(static_cast<int64_t>(std::ceil(bytes / 1e6)), "M")
                      : absl::StrFormat("%.1fG", std::ceil(bytes / 1e8) / 10);
}

// What would fit as flags of `serve`, the least change first; never empty, since more memory always
// would.
std::vector<std::string> Advice(const MemoryQuestion& q) {
  std::vector<std::string> advice;
  const double room = CacheRoom(q, static_cast<double>(q.shape.weight_bytes)) - kSlackBytes;
  const double blocks = static_cast<double>(BlocksOfContext(q));
  const int64_t tokens =
      static_cast<int64_t>(std::floor(room / BlockBytes(q, q.kv_type))) * q.block_tokens;
  if (tokens > 0) advice.push_back(absl::StrCat("--context ", tokens));
  const bool int8_cache = q.kv_type != KvType::kInt8;
  if (int8_cache && blocks * BlockBytes(q, KvType::kInt8) <= room) {
    advice.push_back("--cache int8");
  }
  if (q.int8_weight_bytes > 0) {
    const double more = CacheRoom(q, q.int8_weight_bytes) - kSlackBytes;
    if (blocks * BlockBytes(q, q.kv_type) <= more) {
      advice.push_back("--weights int8");
    } else if (int8_cache && blocks * BlockBytes(q, KvType::kInt8) <= more) {
      advice.push_back("--weights int8 --cache int8");
    }
  }
  const double needed = q.limit_bytes - room + blocks * BlockBytes(q, q.kv_type);
  advice.push_back(absl::StrCat("--memory ", AsFlag(needed)));
  return advice;
}

}  // namespace

const char* NameOf(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kBF16:
      return "bf16";
    case KvType::kInt8:
      return "int8";
  }
  return "";
}

absl::StatusOr<MemoryPlan> PlanMemory(const MemoryQuestion& q) {
  if (q.block_tokens < 1 || q.shape.context < 1 || q.max_sequences < 1) {
    return absl::InvalidArgumentError("block size, context and sequences must be at least 1");
  }
  const double block_bytes = BlockBytes(q, q.kv_type);
  const double room = CacheRoom(q, static_cast<double>(q.shape.weight_bytes));
  const int64_t one = BlocksOfContext(q);
  if (room < static_cast<double>(one) * block_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the model does not fit into ", FormatBytes(q.limit_bytes), " of memory: weights take ",
        FormatBytes(static_cast<double>(q.shape.weight_bytes)), ", a step ",
        FormatBytes(q.activation_bytes), ", the process ", FormatBytes(ReservedBytes(q)),
        ", and one sequence of ", FormatCount(q.shape.context), " tokens ",
        FormatBytes(static_cast<double>(one) * block_bytes), " of ", NameOf(q.kv_type),
        " cache; what would fit: ", absl::StrJoin(Advice(q), ", or ")));
  }
  const int64_t fit = static_cast<int64_t>(
      std::min(std::floor(room / block_bytes), static_cast<double>(int64_t{1} << 30)));
  const int64_t wanted = q.cache_tokens > 0 ? (q.cache_tokens + q.block_tokens - 1) / q.block_tokens
                                            : one * q.max_sequences;
  if (q.cache_tokens > 0 && wanted > fit) {
    return absl::ResourceExhaustedError(absl::StrCat("a cache of ", FormatCount(q.cache_tokens),
                                                     " tokens does not fit: there is ", "room for ",
                                                     FormatCount(fit * q.block_tokens)));
  }
  MemoryPlan plan;
  plan.limit_bytes = q.limit_bytes;
  plan.reserved = q.reserved;
  plan.reserved_bytes = ReservedBytes(q);
  plan.weight_bytes = static_cast<double>(q.shape.weight_bytes);
  plan.activation_bytes = q.activation_bytes;
  plan.blocks = std::min(fit, wanted);
  plan.block_tokens = q.block_tokens;
  plan.tokens = plan.blocks * plan.block_tokens;
  plan.cache_bytes = static_cast<double>(plan.blocks) * block_bytes;
  plan.context = q.shape.context;
  plan.bytes_per_token = static_cast<double>(q.shape.KvBytesPerToken(q.kv_type));
  plan.kv_type = q.kv_type;
  for (int64_t tokens = q.shape.context; tokens >= q.block_tokens && plan.fits.size() < 4;
       tokens /= 4) {
    const int64_t each = (tokens + q.block_tokens - 1) / q.block_tokens;
    plan.fits.push_back({tokens, std::min(plan.blocks / each, q.max_sequences)});
  }
  return plan;
}

std::string Table(const MemoryPlan& plan) {
  const double used =
      plan.weight_bytes + plan.activation_bytes + plan.reserved_bytes + plan.cache_bytes;
  std::string out;
  const auto row = [&out](const char* name, double bytes, const std::string& note) {
    absl::StrAppend(&out, absl::StrFormat("  %-12s %10s", name, FormatBytes(bytes)),
                    note.empty() ? "" : "  ", note, "\n");
  };
  absl::StrAppend(&out, "memory\n");
  row("weights", plan.weight_bytes, "");
  row("a step", plan.activation_bytes, "");
  const std::string next_line = "\n" + std::string(27, ' ');  // below the note
  row("the process", plan.reserved_bytes,
      absl::StrJoin(plan.reserved, next_line,
                    [](std::string* to, const MemoryQuestion::Part& part) {
                      absl::StrAppend(to, FormatBytes(part.bytes), " ", part.name);
                    }));
  row("KV cache", plan.cache_bytes,
      absl::StrCat(FormatCount(plan.blocks), " blocks of ", plan.block_tokens,
                   " tokens = ", FormatCount(plan.tokens), " tokens, ", NameOf(plan.kv_type), ", ",
                   FormatBytes(plan.bytes_per_token), " each"));
  row("left", plan.limit_bytes - used, absl::StrCat("of ", FormatBytes(plan.limit_bytes)));
  absl::StrAppend(&out, "sequences at once\n");
  for (const MemoryPlan::Fit& fit : plan.fits) {
    absl::StrAppend(&out, absl::StrFormat("  %12s of %s tokens\n", FormatCount(fit.sequences),
                                          FormatCount(fit.sequence_tokens)));
  }
  return out;
}

}  // namespace longrun::serving
