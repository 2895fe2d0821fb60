// A model as a folder that Hugging Face's transformers and its kin load as GPT2LMHeadModel:
// config.json, generation_config.json, model.safetensors. (The tokenizer's files are its own.)
// Any thread; the Gpt must not be training meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "model/gpt.h"

namespace longrun::model {

struct HfExtras {
  int64_t end_of_text = -1;  // token; -1: none
};

// Makes the folder where needed. model.safetensors is f32. transformers' GPT-2 always has biases: a
// model without gets zeros, and "bias": false in its config.json for us to know.
absl::Status SaveHfFolder(const Gpt& gpt, const std::string& folder, const HfExtras& extras = {});

// The shape that config.json tells of. Errors name the file and the field.
absl::StatusOr<GptConfig> ReadHfConfig(const std::string& folder);

// Reads the weights of `folder` (one file or shards; f32, f16, bf16 or f64) into `gpt`. Names with
// or without "transformer."; the causal masks that old files carry are skipped. A tensor that is
// missing, unknown or of another shape is an error that names it, and leaves `gpt` as it was.
absl::Status LoadHfWeights(const std::string& folder, Gpt* gpt);

// Both.
absl::StatusOr<std::unique_ptr<Gpt>> LoadHfFolder(const std::string& folder, at::Device device,
                                                  Precision precision = Precision::kF32);

}  // namespace longrun::model
