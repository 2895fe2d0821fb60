#include "training/text_tasks.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "base/file.h"
#include "model/bpe_trainer.h"
#include "model/tokenizer_files.h"
#include "training/corpus.h"
#include "training/token_file.h"

namespace longrun::training {
namespace {

// In [0, 1), by the document's text alone.
double PlaceOf(std::string_view document) {
  return static_cast<double>(XXH3_64bits(document.data(), document.size()) >> 11) * 0x1.0p-53;
}

// Which part of the text is held out.
struct HoldOut {
  double fraction = 0;
  // Where no document falls on one of the sides: the document (counted from 0) that is cut in two.
  std::optional<int64_t> cut_document;

  // Calls train or validate with `document`, or each with its part.
  template <class Train, class Validate>
  absl::Status Share(int64_t number, std::string_view document, Train train,
                     Validate validate) const {
    if (cut_document.has_value()) {
      if (number != *cut_document) return train(document);
      const size_t cut = CutOf(document);
      LR_RETURN_IF_ERROR(train(document.substr(0, cut)));
      return cut == document.size() ? absl::OkStatus() : validate(document.substr(cut));
    }
    return PlaceOf(document) < fraction ? validate(document) : train(document);
  }

  // At the end of a line if there is one behind the place, so that no word is cut.
  size_t CutOf(std::string_view document) const {
    const auto size = static_cast<double>(document.size());
    const auto place = static_cast<size_t>(size * (1 - fraction));
    const size_t line = document.find('\n', place);
    if (line != std::string_view::npos && line + 1 < document.size()) return line + 1;
    const size_t space = document.find(' ', place);
    return space == std::string_view::npos ? place : space;
  }
};

struct Survey {
  std::vector<std::string> files;
  int64_t bytes = 0;
  HoldOut hold_out;
};

// Reads all the text once, so that a file that cannot be used is found before anything is written.
absl::StatusOr<Survey> LookOver(const Preparation& options) {
  Survey survey;
  survey.hold_out.fraction = options.validation_fraction;
  LR_ASSIGN_OR_RETURN(survey.files, FindTextFiles(options.inputs));
  int64_t documents = 0;
  int64_t held_out = 0;
  int64_t largest = 0;
  size_t largest_bytes = 0;
  for (const std::string& file : survey.files) {
    LR_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
    survey.bytes += static_cast<int64_t>(text.size());
    ForEachDocument(text, [&](std::string_view document) {
      if (PlaceOf(document) < options.validation_fraction) ++held_out;
      if (document.size() > largest_bytes) {
        largest = documents;
        largest_bytes = document.size();
      }
      ++documents;
    });
  }
  if (documents == 0) {
    return absl::InvalidArgumentError(
        fmt::format("{} holds no text but separators", survey.files.front()));
  }
  if (options.validation_fraction > 0 && (held_out == 0 || held_out == documents)) {
    survey.hold_out.cut_document = largest;
  }
  return survey;
}

// Encodes documents into one token file.
class DocumentWriter {
 public:
  DocumentWriter(const model::Tokenizer& tokenizer, TokenFileWriter writer)
      : tokenizer_(tokenizer), encoder_(tokenizer), writer_(std::move(writer)) {}

  absl::Status Append(std::string_view document) {
    tokens_.clear();
    encoder_.Encode(document, &tokens_);
    if (tokenizer_.end_of_text().has_value()) tokens_.push_back(*tokenizer_.end_of_text());
    return writer_.AppendDocument(tokens_);
  }
  absl::StatusOr<TokenFileInfo> Finish() { return writer_.Finish(); }

 private:
  const model::Tokenizer& tokenizer_;
  model::TokenEncoder encoder_;
  TokenFileWriter writer_;
  std::vector<model::TokenId> tokens_;
};

absl::StatusOr<std::unique_ptr<DocumentWriter>> NewWriter(const model::Tokenizer& tokenizer,
                                                          const std::string& path) {
  LR_ASSIGN_OR_RETURN(TokenFileWriter file,
                      TokenFileWriter::Create(path, tokenizer.vocab_size(), tokenizer.hash()));
  return std::make_unique<DocumentWriter>(tokenizer, std::move(file));
}

absl::Status EncodeAll(const Survey& survey, DocumentWriter* train, DocumentWriter* validation,
                       const Progress& progress) {
  int64_t number = 0;
  int64_t bytes_done = 0;
  for (const std::string& file : survey.files) {
    LR_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
    absl::Status status;
    ForEachDocument(text, [&](std::string_view document) {
      if (!status.ok()) return;
      status = survey.hold_out.Share(
          number++, document, [&](std::string_view part) { return train->Append(part); },
          [&](std::string_view part) { return validation->Append(part); });
    });
    LR_RETURN_IF_ERROR(status);
    bytes_done += static_cast<int64_t>(text.size());
    if (progress) progress(bytes_done, survey.bytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainedTokenizer> TrainTokenizer(const TokenizerTraining& options,
                                                const Progress& progress) {
  LR_ASSIGN_OR_RETURN(const std::vector<std::string> files, FindTextFiles(options.inputs));
  model::BpeTrainer trainer(options.specials);
  for (const std::string& file : files) {
    LR_ASSIGN_OR_RETURN(const std::string text, ReadText(file));
    ForEachDocument(text, [&](std::string_view document) { trainer.Add(document); });
  }
  LR_ASSIGN_OR_RETURN(const model::Tokenizer tokenizer,
                      trainer.Train(options.vocab_size, progress));
  LR_RETURN_IF_ERROR(
      model::SaveTokenizer(tokenizer, options.output_folder, options.model_max_length));
  return TrainedTokenizer{tokenizer.vocab_size(), trainer.bytes_seen(),
                          static_cast<int64_t>(files.size())};
}

absl::StatusOr<std::string> EncodeText(const std::string& tokenizer, std::string_view text,
                                       bool with_specials) {
  LR_ASSIGN_OR_RETURN(const model::Tokenizer loaded, model::LoadTokenizer(tokenizer));
  std::string ids;
  for (const model::TokenId id :
       with_specials ? loaded.EncodeWithSpecials(text) : loaded.Encode(text)) {
    if (!ids.empty()) ids.push_back(' ');
    ids += std::to_string(id);
  }
  return ids;
}

absl::StatusOr<std::string> DecodeText(const std::string& tokenizer, std::string_view ids) {
  LR_ASSIGN_OR_RETURN(const model::Tokenizer loaded, model::LoadTokenizer(tokenizer));
  constexpr std::string_view kBetween = " \t\r\n,";
  std::vector<model::TokenId> parsed;
  for (size_t at = ids.find_first_not_of(kBetween); at != std::string_view::npos;) {
    const size_t end = std::min(ids.find_first_of(kBetween, at), ids.size());
    model::TokenId id = 0;
    const auto result = std::from_chars(ids.data() + at, ids.data() + end, id);
    if (result.ec != std::errc() || result.ptr != ids.data() + end) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is no token; whole numbers with spaces between are right",
                      ids.substr(at, end - at)));
    }
    parsed.push_back(id);
    at = ids.find_first_not_of(kBetween, end);
  }
  return loaded.Decode(parsed);
}

absl::StatusOr<PreparedText> PrepareText(const Preparation& options,
                                         const model::Tokenizer& tokenizer,
                                         const Progress& progress) {
  if (!(options.validation_fraction >= 0 && options.validation_fraction < 1)) {
    return absl::InvalidArgumentError(fmt::format(
        "a validation fraction of {} holds out too much or less than nothing; 0 or more "
        "and below 1 is right, such as 0.05",
        options.validation_fraction));
  }
  LR_ASSIGN_OR_RETURN(const Survey survey, LookOver(options));
  LR_RETURN_IF_ERROR(MakeFolder(options.output_folder));
  const std::filesystem::path folder = options.output_folder;
  PreparedText result;
  result.train_path = (folder / "train.tokens").string();
  result.files = static_cast<int64_t>(survey.files.size());
  result.text_bytes = survey.bytes;
  result.cut_a_document = survey.hold_out.cut_document.has_value();
  LR_ASSIGN_OR_RETURN(const auto train, NewWriter(tokenizer, result.train_path));
  std::unique_ptr<DocumentWriter> validation;
  if (options.validation_fraction > 0) {
    result.validation_path = (folder / "validation.tokens").string();
    LR_ASSIGN_OR_RETURN(validation, NewWriter(tokenizer, result.validation_path));
  }
  LR_RETURN_IF_ERROR(EncodeAll(survey, train.get(), validation.get(), progress));
  LR_ASSIGN_OR_RETURN(const TokenFileInfo train_info, train->Finish());
  result.train_tokens = train_info.token_count;
  result.train_documents = train_info.document_count;
  if (validation != nullptr) {
    LR_ASSIGN_OR_RETURN(const TokenFileInfo info, validation->Finish());
    result.validation_tokens = info.token_count;
    result.validation_documents = info.document_count;
  }
  return result;
}

}  // namespace longrun::training
