#include "cli/scaling/sweep_folder.h"

#include <filesystem>
#include <limits>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "scaling/runs/content_hash.h"

namespace longrun::cli {
namespace {

constexpr int64_t kPredictionLimit = 256 << 20;
constexpr const char* kDataFiles[] = {"tokenizer.json", "train.tokens", "validation.tokens"};

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace

absl::Status SweepFolder::Prepare(const scaling::SweepConfig& config,
                                  const scaling::SweepDesign& design) const {
  LR_RETURN_IF_ERROR(MakeFolder(path_ + "/runs"));
  std::vector<scaling::SweepRun> runs = design.ladder;
  runs.push_back(design.target);
  for (const scaling::SweepRun& run : runs) {
    const std::string text = scaling::TrainYaml(config, run);
    if (Exists(this->config(run))) {
      LR_ASSIGN_OR_RETURN(const std::string earlier, ReadFile(this->config(run)));
      if (earlier == text) continue;
      return absl::FailedPreconditionError(
          absl::StrCat(this->config(run),
                       ": this run was made with other settings; choose another folder with "
                       "--folder, or remove ",
                       path_));
    }
    LR_RETURN_IF_ERROR(WriteFileAtomically(this->config(run), text));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SweepFolder::DataHash(const std::string& run) const {
  std::string all;
  for (const char* file : kDataFiles) {
    LR_ASSIGN_OR_RETURN(const std::string bytes,
                        ReadFile(absl::StrCat(state(), "/runs/", run, "/data/", file)));
    absl::StrAppend(&all, file, " ", bytes.size(), "\n", bytes);
  }
  std::istringstream text(all);
  scaling::HashingBuffer buffer(text.rdbuf());
  std::istream in(&buffer);
  in.ignore(std::numeric_limits<std::streamsize>::max());
  return buffer.Hash();
}

absl::Status SweepFolder::WriteResults(const scaling::SweepDesign& design,
                                       const SweepResults& results) const {
  std::string text =
      "run,layers,heads,d_model,params,tokens,compute,learning_rate,seed,loss,seconds,data\n";
  for (const scaling::SweepRun& run : design.ladder) {
    const auto found = results.find(run.name);
    if (found == results.end()) continue;
    const SweepResult& result = found->second;
    absl::StrAppendFormat(&text, "%s,%d,%d,%d,%d,%d,%.17g,%.9g,%d,%.17g,%.3f,%s\n", run.name,
                          run.shape.layers, run.shape.heads, run.shape.d_model, run.params,
                          run.tokens, run.compute, run.learning_rate, run.seed, result.loss,
                          result.seconds, result.data_hash);
  }
  return WriteFileAtomically(SweepFolder::results(), text);
}

absl::StatusOr<std::optional<scaling::Registration>> SweepFolder::ReadPrediction() const {
  if (!Exists(prediction())) return std::nullopt;
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(prediction(), kPredictionLimit));
  LR_ASSIGN_OR_RETURN(scaling::Registration registration,
                      scaling::ReadRegistration(text, prediction()));
  return registration;
}

}  // namespace longrun::cli
