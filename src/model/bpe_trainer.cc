#include "model/bpe_trainer.h"

#include <fmt/core.h>

#include <queue>
#include <utility>

#include "model/special_finder.h"
#include "model/split.h"

namespace longrun::model {
namespace {

// A token that joins a pair met only once would stand for one place of the text and no other.
constexpr int64_t kFewestOccurrences = 2;

using Pair = std::pair<TokenId, TokenId>;

// The words as tokens, and how often each pair of neighbours occurs in them.
class PairCounts {
 public:
  struct Word {
    std::vector<TokenId> ids;
    int64_t count;
  };
  struct Candidate {
    int64_t count;
    Pair pair;
    // Of the queue: the most frequent first, then the smallest ids.
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  explicit PairCounts(std::vector<Word> words) : words_(std::move(words)) {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const Word& word = words_[w];
      for (size_t i = 0; i + 1 < word.ids.size(); ++i) {
        Change({word.ids[i], word.ids[i + 1]}, word.count, w);
      }
    }
    for (const auto& [pair, occurrences] : pairs_) queue_.push({occurrences.count, pair});
    changed_.clear();
  }

  // The most frequent pair, or a count of 0. Counts in the queue are brought up to date as they
  // reach its head: they only ever fall while a pair waits there.
  Candidate MostFrequent() {
    while (!queue_.empty()) {
      const Candidate head = queue_.top();
      queue_.pop();
      const int64_t count = pairs_[head.pair].count;
      if (count == head.count) return head;
      if (count > 0 && count < head.count) queue_.push({count, head.pair});
    }
    return {0, {}};
  }

  void Merge(Pair pair, TokenId merged) {
    Occurrences occurrences = std::move(pairs_[pair]);
    pairs_.erase(pair);
    for (const uint32_t w : occurrences.words) MergeInWord(w, pair, merged);
    // Pairs with the new token, counted now for the first time.
    for (const Pair& changed : changed_) {
      const auto it = pairs_.find(changed);
      if (it != pairs_.end() && it->second.count > 0) queue_.push({it->second.count, changed});
    }
    changed_.clear();
  }

 private:
  struct Occurrences {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it occurs, or did; in rising order
  };

  void Change(Pair pair, int64_t by, uint32_t word) {
    Occurrences& occurrences = pairs_[pair];
    occurrences.count += by;
    if (by <= 0) return;
    if (occurrences.words.empty() || occurrences.words.back() != word) {
      if (occurrences.words.empty()) changed_.push_back(pair);
      occurrences.words.push_back(word);
    }
  }

  void MergeInWord(uint32_t w, Pair pair, TokenId merged) {
    std::vector<TokenId>& ids = words_[w].ids;
    const int64_t count = words_[w].count;
    size_t kept = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i + 1 == ids.size() || ids[i] != pair.first || ids[i + 1] != pair.second) {
        ids[kept++] = ids[i];
        continue;
      }
      // … before, first, second, after …: the pairs at both borders give way to those with
      // `merged`.
      if (kept > 0) {
        Change({ids[kept - 1], pair.first}, -count, w);
        Change({ids[kept - 1], merged}, count, w);
      }
      if (i + 2 < ids.size()) {
        Change({pair.second, ids[i + 2]}, -count, w);
        Change({merged, ids[i + 2]}, count, w);
      }
      ids[kept++] = merged;
      ++i;
    }
    ids.resize(kept);
  }

  std::vector<Word> words_;
  absl::flat_hash_map<Pair, Occurrences> pairs_;
  std::vector<Pair> changed_;  // met first since the last merge
  std::priority_queue<Candidate> queue_;
};

}  // namespace

BpeTrainer::BpeTrainer(std::vector<std::string> specials) : specials_(std::move(specials)) {}

void BpeTrainer::Add(std::string_view text) {
  bytes_seen_ += static_cast<int64_t>(text.size());
  SpecialFinder pieces(text, {specials_.begin(), specials_.end()});
  while (true) {
    const SpecialFinder::Piece piece = pieces.Next();
    for (WordSplitter words(piece.text); !words.Done();) ++words_[words.Next()];
    if (piece.special < 0) return;
  }
}

absl::StatusOr<Tokenizer> BpeTrainer::Train(
    int64_t vocab_size, const std::function<void(int64_t, int64_t)>& progress) const {
  const auto specials = static_cast<int64_t>(specials_.size());
  const int64_t wanted = vocab_size - 256 - specials;
  if (wanted < 0) {
    return absl::InvalidArgumentError(
        fmt::format("a vocabulary of {} tokens is too small; {} or more is right: 256 bytes and {} "
                    "special tokens",
                    vocab_size, 256 + specials, specials));
  }
  const Tokenizer bytes = Tokenizer::Bytes({});
  std::vector<PairCounts::Word> words;
  words.reserve(words_.size());
  for (const auto& [text, count] : words_) {
    PairCounts::Word& word = words.emplace_back();
    word.count = count;
    for (const char c : text) word.ids.push_back(bytes.ByteToken(static_cast<uint8_t>(c)));
  }
  std::vector<std::string> tokens;
  for (TokenId id = 0; id < 256; ++id) tokens.emplace_back(bytes.TokenBytes(id));
  std::vector<Tokenizer::Merge> merges;
  PairCounts pairs(std::move(words));
  while (static_cast<int64_t>(merges.size()) < wanted) {
    const PairCounts::Candidate best = pairs.MostFrequent();
    if (best.count < kFewestOccurrences) break;
    const auto [left, right] = best.pair;
    const auto merged = static_cast<TokenId>(tokens.size());
    tokens.push_back(tokens[static_cast<size_t>(left)] + tokens[static_cast<size_t>(right)]);
    merges.push_back({left, right, merged});
    pairs.Merge(best.pair, merged);
    if (progress) progress(static_cast<int64_t>(merges.size()), wanted);
  }
  std::vector<TokenId> special_ids;
  for (const std::string& special : specials_) {
    special_ids.push_back(static_cast<TokenId>(tokens.size()));
    tokens.push_back(special);
  }
  return Tokenizer::Make(std::move(tokens), std::move(merges), std::move(special_ids));
}

absl::StatusOr<Tokenizer> TrainBpe(std::string_view text, int64_t vocab_size,
                                   std::vector<std::string> specials) {
  BpeTrainer trainer(std::move(specials));
  trainer.Add(text);
  return trainer.Train(vocab_size);
}

}  // namespace longrun::model
