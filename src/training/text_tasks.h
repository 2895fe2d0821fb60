// What `longrun-worker tokenizer …` and `longrun-worker prepare` do, without the command line.
// Each call may run on any thread; progress is called on that thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer.h"

namespace longrun::training {

// `done` of `total`, of what the task says its unit is. May be empty.
using Progress = std::function<void(int64_t done, int64_t total)>;

struct TokenizerTraining {
  std::vector<std::string> inputs;  // files, folders, patterns
  int64_t vocab_size = 4096;        // with the bytes and special tokens: 256 + specials or more
  std::vector<std::string> specials = {std::string(model::kEndOfText)};
  std::string output_folder;        // gets the five files of model::SaveTokenizer
  int64_t model_max_length = 1024;  // written for others to read
};
struct TrainedTokenizer {
  int64_t vocab_size = 0;
  int64_t text_bytes = 0;
  int64_t files = 0;
};
// `progress` counts merges.
absl::StatusOr<TrainedTokenizer> TrainTokenizer(const TokenizerTraining& options,
                                                const Progress& progress = {});

// Text to ids written "1 2 3", and back; `tokenizer`: whatever model::LoadTokenizer takes.
absl::StatusOr<std::string> EncodeText(const std::string& tokenizer, std::string_view text,
                                       bool with_specials);
absl::StatusOr<std::string> DecodeText(const std::string& tokenizer, std::string_view ids);

struct Preparation {
  std::vector<std::string> inputs;    // files, folders, patterns
  double validation_fraction = 0.05;  // in [0, 1): of the documents held out
  std::string output_folder;          // gets train.tokens and validation.tokens
};
struct PreparedText {
  std::string train_path;
  std::string validation_path;  // empty where validation_fraction is 0
  int64_t files = 0;
  int64_t text_bytes = 0;
  int64_t train_tokens = 0;
  int64_t train_documents = 0;
  int64_t validation_tokens = 0;
  int64_t validation_documents = 0;
  // No document fell to validation (there were too few), so the end of the largest was cut off.
  bool cut_a_document = false;
};
// Encodes the documents, each followed by <|endoftext|> where the tokenizer has it. Which documents
// are held out depends on each one's text alone, so it never changes as files come and go, and
// copies of a text never stand on both sides. `progress` counts bytes of text.
absl::StatusOr<PreparedText> PrepareText(const Preparation& options,
                                         const model::Tokenizer& tokenizer,
                                         const Progress& progress = {});

}  // namespace longrun::training
