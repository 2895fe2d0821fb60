#include "training/trained_model.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "model/hf_folder.h"
#include "model/sample.h"
#include "model/tokenizer_files.h"
#include "training/batches.h"
#include "training/local_gradient.h"

namespace longrun::training {

absl::Status SaveTrainedModel(model::Gpt& model, const model::Tokenizer& tokenizer,
                              const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  const std::string fresh = absl::StrCat(folder, ".new");
  const std::string old = absl::StrCat(folder, ".old");
  fs::remove_all(fresh, error);
  fs::remove_all(old, error);
  model::HfExtras extras;
  extras.end_of_text = tokenizer.end_of_text().value_or(-1);
  LR_RETURN_IF_ERROR(model::SaveHfFolder(model, fresh, extras));
  LR_RETURN_IF_ERROR(model::SaveTokenizer(tokenizer, fresh, model.config().context));
  if (fs::exists(folder, error)) fs::rename(folder, old, error);
  fs::rename(fresh, folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  fs::remove_all(old, error);
  return absl::OkStatus();
}

absl::StatusOr<TrainedModel> LoadTrainedModel(const std::string& folder, at::Device device,
                                              model::Precision precision) {
  LR_ASSIGN_OR_RETURN(std::unique_ptr<model::Gpt> model,
                      model::LoadHfFolder(folder, device, precision));
  LR_ASSIGN_OR_RETURN(model::Tokenizer tokenizer, model::LoadTokenizer(folder));
  if (tokenizer.vocab_size() > model->config().vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": the tokenizer has ", tokenizer.vocab_size(),
                     " tokens, the model only ", model->config().vocab_size));
  }
  return TrainedModel{std::move(model), std::move(tokenizer)};
}

absl::StatusOr<std::string> SampleText(model::Gpt& model, const model::Tokenizer& tokenizer,
                                       const SampleConfig& config, uint64_t seed,
                                       const std::function<void(std::string_view)>& on_text) {
  std::vector<int64_t> prompt;
  for (const model::TokenId id : tokenizer.EncodeWithSpecials(config.prompt)) prompt.push_back(id);
  // No prompt: as at the beginning of a document.
  if (prompt.empty()) prompt.push_back(tokenizer.end_of_text().value_or(0));
  model::SampleConfig options;
  options.temperature = config.temperature;
  options.top_k = config.top_k;
  options.seed = seed;
  options.max_tokens = config.tokens;
  const int64_t end_of_text = tokenizer.end_of_text().value_or(-1);
  options.stop_token = config.go_on ? -1 : end_of_text;
  std::string text = config.prompt;
  if (on_text) on_text(text);
  const auto on_token = [&](int64_t token) {
    const std::string_view piece =
        token == end_of_text ? "\n%\n" : tokenizer.TokenBytes(static_cast<model::TokenId>(token));
    text += piece;
    if (on_text) on_text(piece);
    return true;
  };
  LR_RETURN_IF_ERROR(model::Generate(&model, prompt, options, on_token).status());
  return text;
}

absl::StatusOr<double> EvaluateTokens(model::Gpt& model, const TokenFile& tokens,
                                      int64_t sequences) {
  const int64_t context = model.config().context;
  LR_RETURN_IF_ERROR(CheckEnoughTokens(tokens.path(), tokens.size(), context));
  const std::vector<int64_t> offsets = EvaluationOffsets(sequences, context, tokens.size());
  double sum = 0;
  for (size_t at = 0; at < offsets.size(); at += 8) {
    const auto some = std::span(offsets).subspan(at, std::min<size_t>(8, offsets.size() - at));
    LR_ASSIGN_OR_RETURN(const at::Tensor batch, ReadBatch(tokens, some, context));
    sum += model.Evaluate(batch);
  }
  return sum / static_cast<double>(offsets.size() * static_cast<size_t>(context));
}

}  // namespace longrun::training
