#include "worker/serve.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "model/tokenizer_config.h"
#include "model/tokenizer_files.h"
#include "net/http_server.h"
#include "nlohmann/json.hpp"
#include "serving/engine/engine_config.h"
#include "serving/execute/ceilings.h"
#include "serving/execute/executor.h"
#include "serving/grammar/constraint.h"
#include "serving/openai/api.h"
#include "serving/openai/feedback_store.h"
#include "serving/openai/tenants.h"
#include "serving/prompt/chat_template.h"
#include "serving/schedule/memory_plan.h"
#include "worker/memory_available.h"
#include "worker/model_folder.h"
#include "worker/model_tokens.h"
#include "worker/serve_device.h"
#include "worker/serve_memory.h"
#include "worker/stop_signals.h"

namespace longrun::worker {
namespace {

using namespace serving;  // NOLINT: this file wires its parts together

constexpr double kOfWhatIsLeft = 0.9;
constexpr double kOfHostForSwapping = 0.5;
// On a device with memory of its own: its libraries' own.
constexpr double kDeviceBytes = 256e6;
constexpr int64_t kLogitsForDrafts = 256;  // of a step, beside one for each sequence
constexpr double kLastWordsSeconds = 2;
// So that one whose request takes long to read (a text to encode) does not keep the others waiting.
constexpr int kHandlerThreads = 4;
constexpr int64_t kMostConnections = 4096;

// The wish to stop, awaited. Not absl::Notification: under the thread sanitizer a signal does not
// arrive while the main thread waits in a library that was built without it.
class StopWish {
 public:
  void Make() {
    const std::lock_guard lock(mutex_);
    made_ = true;
    changed_.notify_all();
  }
  void Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return made_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool made_ = false;
};

int64_t MostLogits(const ServeOptions& options) { return options.max_sequences + kLogitsForDrafts; }

// "auto": as precise as the weights.
KvType CacheTypeOf(const std::string& text, const ModelShape& shape) {
  if (text == "f32") return KvType::kF32;
  if (text == "bf16") return KvType::kBF16;
  if (text == "int8") return KvType::kInt8;
  return shape.f32_weights ? KvType::kF32 : KvType::kBF16;
}

std::string NameOf(const ServeOptions& options) {
  if (!options.name.empty()) return options.name;
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(options.model_dir, error);
  std::string name = path.filename().string();
  // A run's model lies in RUN/model.
  if (name == "model" && path.has_parent_path()) name = path.parent_path().filename().string();
  return name.empty() ? "model" : name;
}

net::ServerOptions ListenOptions(const ServeOptions& options) {
  net::ServerOptions listen;
  listen.address = options.host;
  listen.port = options.port;
  listen.connections = kMostConnections;
  listen.handler_threads = kHandlerThreads;
  listen.certificate_file = options.certificate;
  listen.key_file = options.key;
  return listen;
}

// `program_bytes`: of the process before the model was opened.
absl::StatusOr<MemoryPlan> Plan(const ServeOptions& options, const ServeDevice& device,
                                const Executor& executor, int64_t program_bytes,
                                int64_t text_bytes) {
  MemoryQuestion question;
  question.shape = executor.shape();
  question.kv_type = CacheTypeOf(options.cache, executor.shape());
  question.block_tokens = options.block_tokens;
  question.activation_bytes =
      static_cast<double>(executor.ActivationBytes(options.max_step_tokens, MostLogits(options)));
  question.max_sequences = options.max_sequences;
  if (device.has_int8() && options.weights != "int8") {
    question.int8_weight_bytes = static_cast<double>(executor.shape().parameters);
  }
  if (device.has_own_memory()) {
    question.reserved = {{"libraries", kDeviceBytes}};
    program_bytes = 0;  // elsewhere
  } else {
    question.reserved = PartsOf({.program_bytes = program_bytes,
                                 .listen = ListenOptions(options),
                                 .text_bytes = text_bytes,
                                 .threads = device.ThreadCount()});
  }
  const auto left = device.MemoryLeft();
  // The weights and the program are in memory already, and so no longer part of what is left.
  const auto held = static_cast<double>(executor.shape().weight_bytes + program_bytes);
  if (options.memory_bytes == 0) {
    LR_RETURN_IF_ERROR(left.status());
    question.limit_bytes = kOfWhatIsLeft * static_cast<double>(*left) + held;
    return PlanMemory(question);
  }
  question.limit_bytes = static_cast<double>(options.memory_bytes);
  if (left.ok() && question.limit_bytes > static_cast<double>(*left) + held) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--memory: ", FormatBytes(question.limit_bytes), " are more than the ",
                     FormatBytes(static_cast<double>(*left) + held), " that there are"));
  }
  return PlanMemory(question);
}

// Host memory for what is swapped out of a device's; 0 where it cannot be read.
int64_t SwapBytes() {
  const auto left = ReadMemoryAvailable();
  return left.ok() ? static_cast<int64_t>(kOfHostForSwapping * static_cast<double>(left->bytes))
                   : 0;
}

EngineConfig ConfigOf(const ServeOptions& options, const MemoryPlan& plan, bool swaps) {
  EngineConfig config;
  if (swaps) config.swap_bytes = SwapBytes();
  config.blocks = plan.blocks;
  config.block_tokens = plan.block_tokens;
  config.kv_type = plan.kv_type;
  config.share_prefixes = options.share_prefixes;
  config.max_sequences = options.max_sequences;
  config.max_step_tokens = options.max_step_tokens;
  config.max_step_logits = MostLogits(options);
  config.goals.time_to_first_token_seconds = options.first_token_goal.seconds();
  config.goals.inter_token_seconds = options.inter_token_goal.seconds();
  config.max_wait_seconds = options.max_wait.seconds();
  config.draft.longest = options.speculate;
  return config;
}

absl::StatusOr<ChatTemplate> TemplateOf(const ServeOptions& options,
                                        const nlohmann::json& tokenizer_config) {
  if (options.chat_template.empty()) {
    return ChatTemplate::ForModel(options.model_dir, tokenizer_config);
  }
  const ChatTemplateOptions tokens = ChatTemplate::OptionsFor(tokenizer_config);
  if (!std::filesystem::exists(options.chat_template)) {
    return ChatTemplate::BuiltIn(options.chat_template, tokens);
  }
  LR_ASSIGN_OR_RETURN(const std::string source, ReadFile(options.chat_template, 1 << 20));
  return ChatTemplate::Make(source, options.chat_template, tokens);
}

// What the device can do in the arithmetic that the weights ask for.
absl::StatusOr<PeakRates> MeasurePeak(const ServeDevice& device, const ModelShape& shape) {
  LR_ASSIGN_OR_RETURN(const Ceilings measured, device.Measure());
  return PeakRates{
      .flops = shape.f32_weights ? measured.f32_flops_per_second : measured.bf16_flops_per_second,
      .bytes_per_second = measured.read_bytes_per_second};
}

nlohmann::json JsonOf(const MemoryPlan& plan) {
  const auto whole = [](double bytes) { return static_cast<int64_t>(bytes); };
  nlohmann::json sequences = nlohmann::json::array();
  for (const MemoryPlan::Fit& fit : plan.fits) {
    sequences.push_back({{"tokens", fit.sequence_tokens}, {"at_once", fit.sequences}});
  }
  nlohmann::json reserved = nlohmann::json::object();
  for (const MemoryQuestion::Part& part : plan.reserved) reserved[part.name] = whole(part.bytes);
  return {{"limit_bytes", whole(plan.limit_bytes)},
          {"weight_bytes", whole(plan.weight_bytes)},
          {"activation_bytes", whole(plan.activation_bytes)},
          {"reserved_bytes", whole(plan.reserved_bytes)},
          {"reserved", std::move(reserved)},
          {"cache_bytes", whole(plan.cache_bytes)},
          {"cache_type", NameOf(plan.kv_type)},
          {"bytes_per_token", whole(plan.bytes_per_token)},
          {"blocks", plan.blocks},
          {"block_tokens", plan.block_tokens},
          {"tokens", plan.tokens},
          {"sequences", std::move(sequences)}};
}

void Announce(const ServeOptions& options, const std::string& name, const MemoryPlan& plan,
              const PeakRates& peak, const std::string& url, double seconds) {
  if (options.json) {
    const nlohmann::json said = {{"url", url},
                                 {"model", name},
                                 {"pid", ::getpid()},
                                 {"blocks", plan.blocks},
                                 {"block_tokens", plan.block_tokens},
                                 {"peak_flops", peak.flops},
                                 {"peak_bytes_per_second", peak.bytes_per_second},
                                 {"start_seconds", seconds}};
    std::printf("%s\n", said.dump().c_str());
  } else {
    std::printf(
        "%s\nmeasured: %.0f GFLOP/s, %.1f GB/s; in balance at %.0f FLOP a byte\n"
        "%s serves %s, ready after %.2f s\n\n"
        "  curl %s/v1/completions -H 'Content-Type: application/json' \\\n"
        "    -d '{\"model\": \"%s\", \"prompt\": \"Never trust\", \"max_tokens\": 20}'\n"
        "  longrun top %s\n\n",
        Table(plan).c_str(), peak.flops / 1e9, peak.bytes_per_second / 1e9,
        peak.flops / std::max(1.0, peak.bytes_per_second), url.c_str(), name.c_str(), seconds,
        url.c_str(), name.c_str(), url.c_str());
  }
  std::fflush(stdout);
}

// Where this machine itself finds what listens on `host`.
std::string HostInUrl(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  if (host == "::") return "[::1]";
  return host.find(':') == std::string::npos ? host : absl::StrCat("[", host, "]");
}

void WarnOfStrangers(const ServeOptions& options) {
  const bool reachable =
      options.host != "127.0.0.1" && options.host != "localhost" && options.host != "::1";
  if (reachable && options.api_keys.empty()) {
    log::warn("{} can be reached from other machines and nobody needs a key: see --api-keys",
              options.host);
  }
}

}  // namespace

absl::Status Serve(const ServeOptions& asked) {
  const Stopwatch since_start;
  ServeOptions options = asked;
  LR_ASSIGN_OR_RETURN(options.model_dir, FindModelFolder(asked.model_dir, asked.runs_dir));
  if (options.max_step_tokens < options.max_sequences + options.block_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--max-step-tokens ", options.max_step_tokens, ": a token for each of ",
        options.max_sequences, " sequences and a block of a prompt make ",
        options.max_sequences + options.block_tokens, "; raise it or lower --max-sequences"));
  }
  const auto stop = std::make_shared<StopWish>();
  const StopSignals signals([stop] { stop->Make(); });

  LR_ASSIGN_OR_RETURN(const nlohmann::json tokenizer_config,
                      model::ReadTokenizerConfig(options.model_dir));
  LR_ASSIGN_OR_RETURN(const model::Tokenizer tokenizer,
                      model::LoadTokenizer(options.model_dir,
                                           model::SpecialTokenText(tokenizer_config, "eos_token")));
  LR_ASSIGN_OR_RETURN(const ModelTokens tokens,
                      ReadModelTokens(options.model_dir, tokenizer_config, tokenizer));
  LR_ASSIGN_OR_RETURN(ChatTemplate chat, TemplateOf(options, tokenizer_config));
  std::optional<ToolFormat> tool_format;
  if (options.tool_format != "auto") {
    LR_ASSIGN_OR_RETURN(tool_format, ParseToolFormat(options.tool_format));
  }
  std::vector<Tenant> tenants;
  if (!options.api_keys.empty()) {
    LR_ASSIGN_OR_RETURN(tenants, ReadTenants(options.api_keys));
  }
  const std::unique_ptr<ConstraintCompiler> compiler = ConstraintCompiler::Make(tokenizer);
  const int64_t program_bytes = ResidentBytes();
  const ServeDevice device = {
      .name = options.device, .threads = options.threads, .context = options.context};
  LR_ASSIGN_OR_RETURN(const std::unique_ptr<Executor> executor,
                      device.Open(options.model_dir, options.weights));
  if (tokenizer.vocab_size() > executor->shape().vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.model_dir, ": the tokenizer has ", tokenizer.vocab_size(),
                     " tokens and the model knows ", executor->shape().vocab_size,
                     "; they do not belong "
                     "together"));
  }
  LR_ASSIGN_OR_RETURN(const MemoryPlan plan,
                      Plan(options, device, *executor, program_bytes,
                           Api::LongestTextBytes(executor->shape().context, tokenizer)));
  if (options.plan_only) {
    std::printf("%s", options.json ? (JsonOf(plan).dump() + "\n").c_str() : Table(plan).c_str());
    return absl::OkStatus();
  }
  LR_ASSIGN_OR_RETURN(const PeakRates peak, MeasurePeak(device, executor->shape()));

  LR_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                      MakeEngine(ConfigOf(options, plan, executor->swaps()), executor.get(),
                                 &tokenizer, compiler.get()));
  const std::string feedback_dir =
      options.feedback_dir.empty() ? options.model_dir + "/feedback" : options.feedback_dir;
  std::unique_ptr<FeedbackStore> feedback;
  if (auto store = FeedbackStore::Open(feedback_dir); store.ok()) {
    feedback = *std::move(store);
  } else if (!options.feedback_dir.empty()) {
    return store.status();
  } else {
    log::warn("no /v1/feedback: {}", std::string(store.status().message()));
  }

  // Set later: the server starts after the API that counts its connections.
  const auto listening = std::make_shared<std::atomic<const net::Server*>>(nullptr);
  const std::string name = NameOf(options);
  ApiConfig config;
  config.models = {name};
  config.context = executor->shape().context;
  config.vocab_size = executor->shape().vocab_size;
  config.begin_tokens = tokens.begin;
  config.stop_tokens = tokens.stop;
  config.tenants = std::move(tenants);
  config.tool_format = tool_format;
  config.peak = peak;
  config.http_connections = [listening] {
    const net::Server* const server = *listening;
    return server == nullptr ? 0 : server->connections();
  };
  Api api(std::move(config), engine.get(), &tokenizer, std::move(chat), feedback.get());
  const net::ServerOptions listen = ListenOptions(options);
  WarnOfStrangers(options);
  LR_ASSIGN_OR_RETURN(const std::unique_ptr<net::Server> server,
                      net::Server::Start(listen, api.AsHandler(), api.AsHeadCheck()));
  *listening = server.get();
  api.StartCanary();
  const std::string url = absl::StrCat(listen.certificate_file.empty() ? "http" : "https", "://",
                                       HostInUrl(options.host), ":", server->port());
  Announce(options, name, plan, peak, url, since_start.seconds());

  stop->Await();
  if (!options.json) std::printf("told to stop: finishing what is under way\n");
  api.StartDraining();
  engine->Drain(options.drain);
  server->Drain(kLastWordsSeconds);
  return absl::OkStatus();
}

}  // namespace longrun::worker
