// Training and what goes with it: subcommands and their flags; the work is in src/training.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "model/threads.h"
#include "model/tokenizer_files.h"
#include "training/text_tasks.h"
#include "training/trained_model.h"
#include "training/trainer.h"
#include "worker/commands.h"
#include "worker/stop_signals.h"

namespace longrun::worker {
namespace {

using namespace training;  // NOLINT: this file is its command line

std::string RunFolder(const std::string& flag) {
  if (!flag.empty()) return flag;
  const char* folder = getenv("LONGRUN_RUN_DIR");
  return folder != nullptr && *folder != '\0' ? folder : ".";
}

at::Device ChooseDevice() {
  if (!torch::cuda::is_available()) return at::kCPU;
  const char* local = getenv("LOCAL_RANK");
  // With CUDA_VISIBLE_DEVICES set to one device per rank, that one is number 0.
  const int index = local != nullptr && torch::cuda::device_count() > 1 ? atoi(local) : 0;
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

absl::Status Train(const std::string& config_path, const std::string& run_folder_flag) {
  LR_ASSIGN_OR_RETURN(TrainConfig config, LoadTrainConfig(config_path));
  // What the manifest asks for, it asks of every program; it goes before this program's own file.
  if (const char* every = getenv("LONGRUN_CHECKPOINT_EVERY"); every != nullptr) {
    const absl::Status set = SetEvery(every, &config.checkpoint);
    if (!set.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("LONGRUN_CHECKPOINT_EVERY: ", std::string(set.message())));
    }
  }
  // Until there is a gang to stop in good order, a signal simply ends the program.
  auto membership_slot = std::make_shared<std::atomic<Membership*>>(nullptr);
  const StopSignals signals([membership_slot] {
    Membership* membership = membership_slot->load();
    if (membership == nullptr) _exit(0);
    membership->RequestStop("told to stop by a signal");
  });
  model::SetThreads(model::ThreadsFor(config.threads));
  const std::string run_folder = RunFolder(run_folder_flag);
  LR_ASSIGN_OR_RETURN(RunData data, OpenRunData(config.data, config.model.context, run_folder,
                                                [](const std::string& text) {
                                                  fprintf(stderr, "%s\n", text.c_str());
                                                }));
  config.model.vocab_size = data.tokenizer.vocab_size();
  LR_RETURN_IF_ERROR(config.model.Validate());
  auto bell = std::make_shared<Bell>();
  Trainer trainer(config, std::move(data), run_folder, ChooseDevice(), bell);
  LR_RETURN_IF_ERROR(trainer.WarmUp());
  LR_ASSIGN_OR_RETURN(std::unique_ptr<Membership> membership, MembershipFromEnvironment(bell));
  membership_slot->store(membership.get());
  const absl::Status status = trainer.Run(membership.get());
  if (absl::IsCancelled(status)) {
    log::info("ended: {}", std::string(status.message()));
  } else if (!status.ok()) {
    membership->Say(absl::StrCat("training ended: ", status.message()));
  }
  membership_slot->store(nullptr);
  membership.reset();  // says what is still unsaid
  return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

absl::Status Sample(const std::string& folder, const SampleConfig& config, uint64_t seed) {
  LR_ASSIGN_OR_RETURN(TrainedModel trained,
                      LoadTrainedModel(folder, ChooseDevice(), model::Precision::kF32));
  LR_RETURN_IF_ERROR(
      SampleText(*trained.model, trained.tokenizer, config, seed, [](std::string_view text) {
        fwrite(text.data(), 1, text.size(), stdout);
        fflush(stdout);
      }).status());
  printf("\n");
  return absl::OkStatus();
}

absl::Status EvaluateFile(const std::string& folder, const std::string& tokens_path,
                          int64_t sequences) {
  LR_ASSIGN_OR_RETURN(TrainedModel trained,
                      LoadTrainedModel(folder, ChooseDevice(), model::Precision::kF32));
  LR_ASSIGN_OR_RETURN(const TokenFile tokens, TokenFile::Open(tokens_path));
  if (tokens.info().tokenizer_hash != trained.tokenizer.hash()) {
    return absl::InvalidArgumentError(
        absl::StrCat(tokens_path,
                     ": was encoded with another tokenizer than the model's; run "
                     "`longrun-worker prepare --tokenizer ",
                     folder, "` on the text"));
  }
  LR_ASSIGN_OR_RETURN(const double loss, EvaluateTokens(*trained.model, tokens, sequences));
  printf("loss %.4f nats per token\n", loss);
  return absl::OkStatus();
}

std::string StandardInput() {
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

class TrainingCommands {
 public:
  TrainingCommands(CLI::App* app, Work* work) : app_(*app), work_(*work) {
    AddTrain();
    AddTokenizer();
    AddPrepare();
    AddSample();
    AddEvaluate();
  }

 private:
  void AddTrain() {
    CLI::App* train = app_.add_subcommand("train", "train a model");
    train->add_option("--config", config_, "the run's YAML file")->required();
    train->add_option(
        "--run-dir", folder_,
        "folder for data, checkpoints and the model (default: $LONGRUN_RUN_DIR, else .)");
    train->footer(
        "Examples:\n"
        "  longrun-worker train --config examples/gpt.yaml --run-dir /tmp/first\n"
        "  torchrun --no-python --nproc_per_node 4 longrun-worker train --config gpt.yaml\n"
        "Under `longrun run` the gang survives the death of its ranks. SIGTERM: checkpoint, exit "
        "0.");
    train->callback([this] { work_ = [this] { return Train(config_, folder_); }; });
  }

  void AddTokenizer() {
    CLI::App* tokenizer =
        app_.add_subcommand("tokenizer", "train and use byte-level BPE tokenizers");
    tokenizer->require_subcommand(1);
    CLI::App* train = tokenizer->add_subcommand("train", "learn merges from text");
    train->add_option("text", training_.inputs, "files, folders, patterns")->required();
    train->add_option("--vocab-size", training_.vocab_size, "tokens")->capture_default_str();
    train->add_option("--output", training_.output_folder, "folder to write")->required();
    train->footer(
        "Example:\n  longrun-worker tokenizer train --vocab-size 4096 --output tok books/");
    train->callback([this] {
      work_ = [this]() -> absl::Status {
        LR_ASSIGN_OR_RETURN(const TrainedTokenizer trained, TrainTokenizer(training_));
        printf("%lld tokens from %s of text in %lld files: %s\n",
               static_cast<long long>(trained.vocab_size),
               FormatBytes(static_cast<double>(trained.text_bytes)).c_str(),
               static_cast<long long>(trained.files), training_.output_folder.c_str());
        return absl::OkStatus();
      };
    });
    AddCoding(tokenizer, "encode", "text to ids");
    AddCoding(tokenizer, "decode", "ids to text");
  }

  void AddCoding(CLI::App* parent, const std::string& name, const std::string& what) {
    CLI::App* command = parent->add_subcommand(name, what + ", from an argument or standard input");
    command->add_option("--tokenizer", tokenizer_, "folder or file")->required();
    command->add_option("text", text_, "what to convert");
    const bool encode = name == "encode";
    if (encode) command->add_flag("--specials", specials_, "special tokens' text becomes them");
    command->footer(encode ? "Example:\n  longrun-worker tokenizer encode --tokenizer tok 'Hello'"
                           : "Example:\n  longrun-worker tokenizer decode --tokenizer tok '39 68'");
    command->callback([this, command, encode] {
      const bool given = command->count("text") > 0;
      work_ = [this, given, encode]() -> absl::Status {
        const std::string input = given ? text_ : StandardInput();
        LR_ASSIGN_OR_RETURN(const std::string output, encode
                                                          ? EncodeText(tokenizer_, input, specials_)
                                                          : DecodeText(tokenizer_, input));
        fwrite(output.data(), 1, output.size(), stdout);
        if (encode || given) printf("\n");
        return absl::OkStatus();
      };
    });
  }

  void AddPrepare() {
    CLI::App* prepare = app_.add_subcommand("prepare", "encode text into token files");
    prepare->add_option("text", preparation_.inputs, "files, folders, patterns")->required();
    prepare->add_option("--tokenizer", tokenizer_, "folder or file")->required();
    prepare->add_option("--output", preparation_.output_folder, "folder to write")->required();
    prepare->add_option("--validation", preparation_.validation_fraction, "fraction held out")
        ->capture_default_str();
    prepare->footer("Example:\n  longrun-worker prepare --tokenizer tok --output data books/*.txt");
    prepare->callback([this] {
      work_ = [this]() -> absl::Status {
        LR_ASSIGN_OR_RETURN(const model::Tokenizer tokenizer, model::LoadTokenizer(tokenizer_));
        LR_ASSIGN_OR_RETURN(const PreparedText made, PrepareText(preparation_, tokenizer));
        printf("%s: %lld tokens\n", made.train_path.c_str(),
               static_cast<long long>(made.train_tokens));
        if (!made.validation_path.empty()) {
          printf("%s: %lld tokens\n", made.validation_path.c_str(),
                 static_cast<long long>(made.validation_tokens));
        }
        return absl::OkStatus();
      };
    });
  }

  void AddSample() {
    CLI::App* sample = app_.add_subcommand("sample", "write text with a trained model");
    sample->add_option("--model", model_, "folder of the model")->required();
    sample->add_option("--prompt", sample_.prompt, "text to go on from");
    sample->add_option("--tokens", sample_.tokens, "at most so many")->capture_default_str();
    sample->add_option("--temperature", sample_.temperature, "0: the likeliest")
        ->check(CLI::Range(0.0, 100.0))
        ->capture_default_str();
    sample->add_option("--top-k", sample_.top_k, "of the k likeliest; 0: of all")
        ->check(CLI::NonNegativeNumber);
    sample->add_option("--seed", seed_, "another seed, another text")->capture_default_str();
    sample->footer("Example:\n  longrun-worker sample --model model --prompt 'Never trust'");
    sample->callback([this] { work_ = [this] { return Sample(model_, sample_, seed_); }; });
  }

  void AddEvaluate() {
    CLI::App* evaluate = app_.add_subcommand("evaluate", "loss of a trained model on a token file");
    evaluate->add_option("--model", model_, "folder of the model")->required();
    evaluate->add_option("--tokens", tokens_, "a token file, from `prepare`")->required();
    evaluate->add_option("--sequences", sequences_, "at most so many, spread over the file")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    evaluate->footer(
        "Example:\n  longrun-worker evaluate --model model --tokens data/validation.tokens");
    evaluate->callback(
        [this] { work_ = [this] { return EvaluateFile(model_, tokens_, sequences_); }; });
  }

  CLI::App& app_;
  Work& work_;
  std::string config_, folder_, tokenizer_, text_, model_, tokens_;
  TokenizerTraining training_;
  Preparation preparation_;
  SampleConfig sample_;
  bool specials_ = false;
  uint64_t seed_ = 1;
  int64_t sequences_ = 1000;
};

}  // namespace

std::shared_ptr<void> AddTrainingCommands(CLI::App* app, Work* work) {
  return std::make_shared<TrainingCommands>(app, work);
}

}  // namespace longrun::worker
