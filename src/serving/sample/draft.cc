#include "serving/sample/draft.h"

#include <algorithm>

#include "base/check.h"

namespace longrun::serving {

std::vector<model::TokenId> Draft(std::span<const model::TokenId> tokens,
                                  const DraftConfig& config) {
  LR_CHECK(config.min_ngram >= 1 && config.max_ngram >= config.min_ngram);
  const auto size = static_cast<int64_t>(tokens.size());
  const auto at = [&](int64_t i) { return tokens[static_cast<size_t>(i)]; };
  int64_t best = 0;   // how many of the newest tokens stood there too
  int64_t after = 0;  // where what followed begins
  // From the newest place back: of equally long matches the newest counts.
  for (int64_t end = size - 1; end > 0 && best < config.max_ngram && config.longest > 0; --end) {
    int64_t match = 0;
    while (match < std::min(end, config.max_ngram) && at(end - 1 - match) == at(size - 1 - match)) {
      ++match;
    }
    if (match > best) {
      best = match;
      after = end;
    }
  }
  std::vector<model::TokenId> draft;
  if (best < config.min_ngram) return draft;
  // Beyond the newest token it goes on with itself: what repeats is drafted at full length.
  for (int64_t i = after; i < after + config.longest; ++i) {
    draft.push_back(i < size ? at(i) : draft[static_cast<size_t>(i - size)]);
  }
  return draft;
}

}  // namespace longrun::serving
