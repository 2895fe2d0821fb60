// The folder of a trained model, which Hugging Face's tools load: weights, config.json and the
// tokenizer's files; and text out of it. One thread at a time per model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "model/gpt.h"
#include "model/tokenizer.h"
#include "training/token_file.h"
#include "training/train_config.h"

namespace longrun::training {

// Puts the folder in place by rename: whoever looks sees the old one or the new one, whole.
absl::Status SaveTrainedModel(model::Gpt& model, const model::Tokenizer& tokenizer,
                              const std::string& folder);

struct TrainedModel {
  std::unique_ptr<model::Gpt> model;
  model::Tokenizer tokenizer;
};
absl::StatusOr<TrainedModel> LoadTrainedModel(const std::string& folder, at::Device device,
                                              model::Precision precision);

// The prompt and what the model writes after it. The same seed gives the same text.
absl::StatusOr<std::string> SampleText(model::Gpt& model, const model::Tokenizer& tokenizer,
                                       const SampleConfig& config, uint64_t seed,
                                       const std::function<void(std::string_view)>& on_text = {});

// Mean cross-entropy of `tokens`, in nats, over at most `sequences` sequences spread over them.
absl::StatusOr<double> EvaluateTokens(model::Gpt& model, const TokenFile& tokens,
                                      int64_t sequences);

}  // namespace longrun::training
