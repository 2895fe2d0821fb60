#include "training/run_data.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/random.h"
#include "base/units.h"
#include "model/tokenizer_files.h"
#include "training/batches.h"
#include "training/text_tasks.h"

namespace longrun::training {
namespace {

// Held while the file is open; the kernel lets go when the process dies, however it dies.
class FileLock {
 public:
  static absl::StatusOr<FileLock> Take(const std::string& path) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
      return absl::UnavailableError(absl::StrCat(path, ": ", strerror(errno)));
    }
    FileLock lock(fd);
    while (flock(fd, LOCK_EX) != 0) {
      if (errno != EINTR) {
        return absl::UnavailableError(absl::StrCat(path, ": cannot be locked: ", strerror(errno)));
      }
    }
    return lock;
  }
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

// What the data was made from; the file that holds it is written last.
std::string Recipe(const DataConfig& config) {
  std::string recipe = "longrun data 1\n";
  for (const std::string& text : config.text) absl::StrAppend(&recipe, "text ", text, "\n");
  if (config.tokenizer.empty()) {
    absl::StrAppend(&recipe, "vocab_size ", config.vocab_size, "\n");
  } else {
    absl::StrAppend(&recipe, "tokenizer ", config.tokenizer, "\n");
  }
  absl::StrAppend(&recipe, "validation_fraction ", config.validation_fraction, "\n");
  return recipe;
}

absl::Status MakeData(const DataConfig& config, int64_t context, const std::string& folder,
                      const std::function<void(const std::string&)>& say) {
  LR_RETURN_IF_ERROR(MakeFolder(folder));
  if (config.tokenizer.empty()) {
    TokenizerTraining training;
    training.inputs = config.text;
    training.vocab_size = config.vocab_size;
    training.output_folder = folder;
    training.model_max_length = context;
    LR_ASSIGN_OR_RETURN(const TrainedTokenizer trained, TrainTokenizer(training));
    say(absl::StrCat("tokenizer of ", FormatCount(trained.vocab_size), " tokens trained on ",
                     FormatBytes(static_cast<double>(trained.text_bytes)), " of text in ",
                     trained.files, " files"));
  } else {
    LR_ASSIGN_OR_RETURN(const model::Tokenizer tokenizer, model::LoadTokenizer(config.tokenizer));
    LR_RETURN_IF_ERROR(model::SaveTokenizer(tokenizer, folder, context));
  }
  LR_ASSIGN_OR_RETURN(const model::Tokenizer tokenizer, model::LoadTokenizer(folder));
  Preparation preparation;
  preparation.inputs = config.text;
  preparation.validation_fraction = config.validation_fraction;
  preparation.output_folder = folder;
  LR_ASSIGN_OR_RETURN(const PreparedText prepared, PrepareText(preparation, tokenizer));
  say(absl::StrCat(FormatCount(prepared.train_tokens), " tokens to train on, ",
                   FormatCount(prepared.validation_tokens), " held out"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RunData> OpenRunData(const DataConfig& config, int64_t context,
                                    const std::string& run_folder,
                                    const std::function<void(const std::string&)>& say) {
  LR_RETURN_IF_ERROR(MakeFolder(run_folder));
  const std::string folder = run_folder + "/data";
  const std::string recipe_path = folder + "/recipe.txt";
  {
    LR_ASSIGN_OR_RETURN(const FileLock lock, FileLock::Take(run_folder + "/data.lock"));
    const auto recipe = ReadFile(recipe_path);
    if (!recipe.ok() || *recipe != Recipe(config)) {
      LR_RETURN_IF_ERROR(MakeData(config, context, folder, say));
      LR_RETURN_IF_ERROR(WriteFileAtomically(recipe_path, Recipe(config)));
    }
  }
  LR_ASSIGN_OR_RETURN(model::Tokenizer tokenizer, model::LoadTokenizer(folder));
  LR_ASSIGN_OR_RETURN(TokenFile train, TokenFile::Open(folder + "/train.tokens"));
  LR_RETURN_IF_ERROR(CheckEnoughTokens(train.path(), train.size(), context));
  RunData data{std::move(tokenizer), std::move(train), std::nullopt, 0};
  data.hash = Mix64(data.tokenizer.hash() ^ Mix64(data.train.info().data_checksum));
  if (config.validation_fraction > 0) {
    LR_ASSIGN_OR_RETURN(data.validation, TokenFile::Open(folder + "/validation.tokens"));
    LR_RETURN_IF_ERROR(
        CheckEnoughTokens(data.validation->path(), data.validation->size(), context));
  }
  return data;
}

}  // namespace longrun::training
