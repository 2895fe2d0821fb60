// Learns byte-pair merges from text (Sennrich et al. 2016, algorithm 1): again and again the most
// frequent pair of neighbours becomes a token; of equally frequent pairs the one with the smaller
// ids, so the same text gives the same tokenizer on every machine. Belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer.h"
#include "model/view_hash.h"

namespace longrun::model {

class BpeTrainer {
 public:
  // The text of a special token is never learned from: it is a border between texts.
  explicit BpeTrainer(std::vector<std::string> specials = {std::string(kEndOfText)});

  // Counts the words of a text.
  void Add(std::string_view text);

  // A tokenizer of `vocab_size` tokens: 256 bytes, merges, special tokens (in this order of ids).
  // It has fewer where the text holds no more pairs that occur twice. InvalidArgument where
  // vocab_size is below 256 + special tokens. `progress(merges made, merges wanted)` may be empty.
  absl::StatusOr<Tokenizer> Train(int64_t vocab_size,
                                  const std::function<void(int64_t, int64_t)>& progress = {}) const;

  int64_t bytes_seen() const { return bytes_seen_; }
  int64_t distinct_words() const { return static_cast<int64_t>(words_.size()); }

 private:
  std::vector<std::string> specials_;
  TextMap<int64_t> words_;  // how often each occurs
  int64_t bytes_seen_ = 0;
};

absl::StatusOr<Tokenizer> TrainBpe(std::string_view text, int64_t vocab_size,
                                   std::vector<std::string> specials = {std::string(kEndOfText)});

}  // namespace longrun::model
