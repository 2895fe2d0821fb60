#include "serving/execute_torch/torch_attention.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace longrun::serving {
namespace {

constexpr int64_t kBatchedRows = 8;  // new tokens of a sequence that goes with others

struct Member {
  const Slice* slice = nullptr;
  int64_t first_row = 0;

  int64_t rows() const { return static_cast<int64_t>(slice->tokens.size()); }
  int64_t keys() const { return slice->position + rows(); }
};

AttentionPlan PlanGroup(std::span<const Member> members, const AttentionSizes& sizes,
                        int64_t block_tokens, DeviceNumbers* numbers) {
  AttentionPlan plan = {.sequences = static_cast<int64_t>(members.size()),
                        .rows = members[0].rows(),
                        .first = members[0].first_row};
  for (const Member& m : members) plan.keys = std::max(plan.keys, m.keys());
  const int64_t blocks = (plan.keys + block_tokens - 1) / block_tokens;
  std::vector<int64_t> at, gather, padding, positions;
  for (const Member& m : members) {
    for (int64_t i = 0; i < plan.rows; ++i) {
      at.push_back(m.first_row + i);
      positions.push_back(m.slice->position + i);
    }
    const int64_t own = (m.keys() + block_tokens - 1) / block_tokens;
    for (int64_t h = 0; h < sizes.kv_heads; ++h) {
      // What is past the end is masked and set to zero, in case it is no number.
      const int64_t before = static_cast<int64_t>(gather.size()) * block_tokens;
      for (int64_t i = m.keys(); i < plan.keys; ++i) padding.push_back(before + i);
      for (int64_t b = 0; b < blocks; ++b) {
        const BlockId block = m.slice->blocks[static_cast<size_t>(std::min(b, own - 1))];
        gather.push_back(block * sizes.kv_heads + h);
      }
    }
  }
  plan.at = numbers->Add(at);
  plan.gather = numbers->Add(gather);
  plan.padding = numbers->Add(padding);
  plan.positions = numbers->Add(positions);
  return plan;
}

// Whether `next`, with no more keys than any of `members`, may go with them.
bool MayJoin(std::span<const Member> members, const Member& next, const AttentionSizes& sizes) {
  const Member& longest = members[0];
  if (next.rows() != longest.rows() || 2 * next.keys() < longest.keys()) return false;
  const int64_t all_keys = (static_cast<int64_t>(members.size()) + 1) * longest.keys();
  return all_keys * sizes.kv_heads * sizes.head_dim <= sizes.most_keys &&
         all_keys * sizes.heads * longest.rows() <= sizes.most_scores;
}

}  // namespace

std::vector<AttentionPlan> PlanAttention(std::span<const Slice> slices, const AttentionSizes& sizes,
                                         int64_t block_tokens, DeviceNumbers* numbers) {
  std::vector<Member> few;
  std::vector<AttentionPlan> plans;
  int64_t row = 0;
  for (const Slice& slice : slices) {
    const Member member = {&slice, row};
    row += member.rows();
    if (member.rows() <= kBatchedRows) {
      few.push_back(member);
    } else {
      plans.push_back(PlanGroup({&member, 1}, sizes, block_tokens, numbers));
    }
  }
  std::stable_sort(few.begin(), few.end(), [](const Member& a, const Member& b) {
    return std::pair(a.rows(), a.keys()) > std::pair(b.rows(), b.keys());
  });
  const std::span<const Member> all = few;
  for (size_t begin = 0; begin < all.size();) {
    size_t end = begin + 1;
    while (end < all.size() && MayJoin(all.subspan(begin, end - begin), all[end], sizes)) ++end;
    plans.push_back(PlanGroup(all.subspan(begin, end - begin), sizes, block_tokens, numbers));
    begin = end;
  }
  return plans;
}

AttentionGroup AttentionPlan::OnDevice(const DeviceNumbers& numbers) const {
  AttentionGroup group = {.sequences = sequences,
                          .rows = rows,
                          .keys = keys,
                          .first = first,
                          .at = numbers.Get(at),
                          .gather = numbers.Get(gather),
                          .padding = numbers.Get(padding)};
  if (sequences > 1) {
    const at::Tensor places = at::arange(keys, group.at.options());
    const at::Tensor later = places > numbers.Get(positions).unsqueeze(1);  // [rows, keys]
    group.mask = at::zeros(later.sizes(), later.options().dtype(at::kFloat))
                     .masked_fill_(later, -std::numeric_limits<double>::infinity())
                     .view({sequences, 1, rows, keys});
  }
  return group;
}

void Attend(const AttentionGroup& g, const AttentionSizes& s, const TorchCache& cache,
            int64_t layer, const at::Tensor& queries, at::Tensor out) {
  const int64_t heads = g.sequences * s.kv_heads;  // of keys, all sequences'
  at::Tensor keys = cache.Keys(layer, g.gather).view({heads, -1, s.head_dim});
  at::Tensor values = cache.Values(layer, g.gather).view({heads, -1, s.head_dim});
  if (g.padding.numel() > 0) {
    keys.view({-1, s.head_dim}).index_fill_(0, g.padding, 0);
    values.view({-1, s.head_dim}).index_fill_(0, g.padding, 0);
  }
  const bool alone = g.sequences == 1;
  const at::Tensor own = alone ? queries.narrow(0, g.first, g.rows) : queries.index_select(0, g.at);
  // [sequences, kv_heads, group, rows, head_dim]
  const at::Tensor q =
      own.view({g.sequences, g.rows, s.kv_heads, s.group(), s.head_dim}).permute({0, 2, 3, 1, 4});
  const int64_t at_once =
      alone ? std::clamp<int64_t>(s.most_scores / (s.heads * g.keys), 1, g.rows) : g.rows;
  for (int64_t begin = 0; begin < g.rows; begin += at_once) {
    const int64_t rows = std::min(at_once, g.rows - begin);
    const int64_t seen = alone ? g.keys - g.rows + begin + rows : g.keys;
    const at::Tensor some = q.narrow(3, begin, rows).reshape({heads, -1, s.head_dim});
    at::Tensor scores = at::bmm(some, keys.narrow(1, 0, seen).transpose(1, 2));
    if (!alone) {
      scores.view({g.sequences, s.heads, rows, seen}).add_(g.mask);
    } else if (rows > 1) {  // the last of them see each other in part
      const at::Tensor later =
          at::full({rows, rows}, -std::numeric_limits<float>::infinity(), scores.options())
              .triu_(1);
      scores.view({s.heads, rows, seen}).narrow(2, seen - rows, rows).add_(later);
    }
    const at::Tensor weights = at::softmax(scores, -1);  // [heads, group · rows, seen]
    const at::Tensor result = at::bmm(weights, values.narrow(1, 0, seen))
                                  .view({g.sequences, s.kv_heads, s.group(), rows, s.head_dim})
                                  .permute({0, 3, 1, 2, 4})
                                  .reshape({g.sequences * rows, s.heads * s.head_dim});
    if (alone) {
      out.narrow(0, g.first + begin, rows).copy_(result);
    } else {
      out.index_copy_(0, g.at, result);
    }
  }
}

}  // namespace longrun::serving
