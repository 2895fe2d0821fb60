// `longrun bench-serve`: a load on any server that speaks OpenAI's API, and what came of it.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/blocked_signals.h"
#include "base/file_limit.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/serving/bench_driver.h"
#include "cli/serving/bench_load.h"
#include "cli/serving/bench_report.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

struct BenchFlags {
  std::string url = "http://127.0.0.1:8000";
  std::string model;
  std::string api_key;
  std::string endpoint = "completions";
  int64_t clients = 0;
  double rate = 0;
  int64_t requests = 0;
  std::string duration;
  std::string prompt_tokens = "256";
  std::string output_tokens = "64";
  int64_t shared_prefix = 0;
  int64_t prefixes = 1;
  int64_t tokens = 0;
  std::optional<double> temperature;
  uint64_t seed = 0;
  int64_t warm_up = 0;
  bool stop_at_end_of_text = false;
  std::string slo;
  bool json = false;
};

// How many are in flight at most in an open loop where --clients says nothing.
constexpr int64_t kMostInFlight = 512;

absl::StatusOr<std::string> FirstModel(const net::Url& url, const net::Headers& headers) {
  net::Client client(url);
  LR_ASSIGN_OR_RETURN(const net::Response response, client.Send("GET", "/v1/models", headers, ""));
  const nlohmann::json json = nlohmann::json::parse(response.body, nullptr, false);
  if (response.status == 200 && json.is_object() && json.contains("data")) {
    for (const auto& model : json["data"]) {
      if (model.is_object() && model.contains("id") && model["id"].is_string()) {
        return model["id"].get<std::string>();
      }
    }
  }
  return absl::UnavailableError(absl::StrCat(
      "/v1/models answers HTTP ", response.status,
      " and names no model; name one with --model (and a key with --api-key where one is needed)"));
}

absl::StatusOr<DriverConfig> ConfigOf(const BenchFlags& flags, Slo& slo) {
  DriverConfig config;
  LR_ASSIGN_OR_RETURN(config.url, net::ParseUrl(flags.url));
  LR_ASSIGN_OR_RETURN(config.load.prompt_tokens, ParseLengthDistribution(flags.prompt_tokens));
  LR_ASSIGN_OR_RETURN(config.load.output_tokens, ParseLengthDistribution(flags.output_tokens));
  if (!flags.slo.empty()) {
    LR_ASSIGN_OR_RETURN(slo, ParseSlo(flags.slo));
  }
  if (!flags.duration.empty()) {
    LR_ASSIGN_OR_RETURN(const Duration duration, ParseDuration(flags.duration));
    config.duration_seconds = duration.seconds();
    if (config.duration_seconds <= 0) {
      return absl::InvalidArgumentError("--duration: a time above 0, such as 30s");
    }
  }
  config.load.chat = flags.endpoint == "chat";
  config.load.vocabulary = flags.tokens;
  if (config.load.chat && flags.tokens > 0) {
    return absl::InvalidArgumentError(
        "--tokens: chats are text; token ids go with --endpoint completions");
  }
  config.load.shared_prefix_tokens = flags.shared_prefix;
  config.load.prefixes = flags.prefixes;
  config.load.ignore_eos = !flags.stop_at_end_of_text;
  config.load.temperature = flags.temperature;
  config.load.seed = flags.seed;
  config.headers = {{"Content-Type", "application/json"}};
  if (!flags.api_key.empty())
    config.headers.emplace_back("Authorization", "Bearer " + flags.api_key);
  const bool open_loop = flags.rate > 0;
  config.clients = flags.clients > 0 ? flags.clients : open_loop ? kMostInFlight : 1;
  config.requests = flags.requests;
  if (config.requests == 0) {
    // As many as the duration has room for, or a number that tells something.
    config.requests = flags.duration.empty() ? 100
                      : open_loop
                          ? static_cast<int64_t>(flags.rate * config.duration_seconds * 2) + 100
                          : int64_t{1} << 40;
  }
  if (open_loop) config.arrivals = PoissonArrivals(config.requests, flags.rate, flags.seed);
  return config;
}

// One line: rewritten on a terminal, else now and then.
class Progress {
 public:
  void Show(const Driver& driver, const char* what, bool last) {
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    if (!terminal && since_.seconds() < kPlainSeconds) return;
    since_.Restart();
    const double seconds = driver.seconds();
    const int64_t chunks = driver.chunks();
    const double rate =
        seconds > then_ ? static_cast<double>(chunks - before_) / (seconds - then_) : 0;
    then_ = seconds;
    before_ = chunks;
    std::fprintf(stderr, "%s%s %.0f s: %s ended, %s under way, %.0f chunks/s%s",
                 terminal ? "\r\x1b[K" : "", what, seconds, FormatCount(driver.ended()).c_str(),
                 FormatCount(driver.under_way()).c_str(), rate, terminal ? "" : "\n");
    if (terminal && last) std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
  }

 private:
  static constexpr double kPlainSeconds = 5;
  Stopwatch since_;
  double then_ = 0;
  int64_t before_ = 0;
};

// Until the load is over, or Ctrl-C: false.
bool Watch(Driver& driver, const BlockedSignals& signals, const char* what) {
  Progress progress;
  Stopwatch since;
  while (!driver.over()) {
    if (signals.Wait(Duration::Millis(20)) != 0) {
      driver.Stop();
      return false;
    }
    if (since.seconds() < 0.5) continue;
    since.Restart();
    progress.Show(driver, what, false);
  }
  progress.Show(driver, what, true);
  return true;
}

int Bench(const BenchFlags& flags) {
  RaiseFileLimit(kAllFiles);  // each client has a socket
  Slo slo;
  absl::StatusOr<DriverConfig> config = ConfigOf(flags, slo);
  if (!config.ok()) {
    PrintError(config.status());
    return kUsage;
  }
  config->load.model = flags.model;
  if (flags.model.empty()) {
    absl::StatusOr<std::string> model = FirstModel(config->url, config->headers);
    if (!model.ok()) {
      PrintError(model.status());
      return kUnavailable;
    }
    config->load.model = *std::move(model);
  }
  const BlockedSignals signals({SIGINT, SIGTERM});  // before the clients' threads begin
  if (flags.warm_up > 0) {
    DriverConfig warm = *config;
    warm.requests = flags.warm_up;
    warm.arrivals.clear();
    warm.duration_seconds = 0;
    warm.first_index = int64_t{1} << 40;  // none of those that are measured
    Driver driver(std::move(warm));
    if (!Watch(driver, signals, "warming up")) std::_Exit(kInterrupted);
  }
  Driver driver(*std::move(config));
  const bool whole = Watch(driver, signals, "bench-serve");
  const LoadReport report = ReportOf(driver.Outcomes(), driver.seconds(), slo);
  if (!whole) std::fputs("\nstopped; what was measured so far:\n", stderr);
  std::fputs((flags.json ? ReportJson(report) : ReportText(report)).c_str(), stdout);
  std::fflush(stdout);
  // Clients may wait long for a server that has stopped to answer.
  if (!whole) std::_Exit(kInterrupted);
  return report.failed > 0 || report.requests == 0 ? kFailed : kOk;
}

void AddLoadFlags(CLI::App* app, BenchFlags& flags) {
  app->add_option("--clients", flags.clients,
                  "Closed loop: so many ask, each again when answered (1); with --rate: the most "
                  "in flight (512)")
      ->check(CLI::Range(1, 4096));
  app->add_option("--rate", flags.rate, "Open loop: Poisson arrivals, so many requests a second")
      ->check(CLI::PositiveNumber);
  app->add_option("--requests", flags.requests, "How many (100)")->check(CLI::Range(1, 10'000'000));
  app->add_option("--duration", flags.duration, "Begin none after so long: 30s, 5m")
      ->type_name("TIME");
  app->add_option("--prompt-tokens", flags.prompt_tokens,
                  "N, uniform:LOW:HIGH or lognormal:MEDIAN:SIGMA (256)")
      ->type_name("LENGTH");
  app->add_option("--output-tokens", flags.output_tokens, "The same, of the answer (64)")
      ->type_name("LENGTH");
  app->add_option("--shared-prefix", flags.shared_prefix,
                  "Tokens before each prompt that requests have in common (0)")
      ->check(CLI::Range(0, 1'000'000));
  app->add_option("--prefixes", flags.prefixes, "So many different ones of them (1)")
      ->check(CLI::Range(1, 1'000'000));
  app->add_option("--tokens", flags.tokens,
                  "Prompts as arrays of random token ids below this, in place of words")
      ->type_name("VOCABULARY")
      ->check(CLI::Range(1, 10'000'000));
  app->add_option("--temperature", flags.temperature, "Sent with each request (the server's own)")
      ->check(CLI::Range(0.0, 2.0));
  app->add_option("--seed", flags.seed, "Of prompts, lengths and arrivals (0)");
  app->add_option("--warm-up", flags.warm_up, "Requests before, that do not count (0)")
      ->check(CLI::Range(0, 100'000));
  app->add_flag("--stop-at-end-of-text", flags.stop_at_end_of_text,
                "Do not send ignore_eos: answers end where the model ends them");
}

}  // namespace

void DeclareBenchServe(const Declare& declare) {
  Declared& command = declare(
      "bench-serve", "Measure a server that speaks OpenAI's API: throughput, latency, goodput",
      "  longrun bench-serve --clients 32 --prompt-tokens 256 --output-tokens 64\n"
      "  longrun bench-serve --url http://gpu-1:8000 --rate 12 --duration 2m --slo "
      "ttft=0.5s,itl=50ms\n"
      "  longrun bench-serve --shared-prefix 400 --requests 50 --json\n"
      "  longrun bench-serve --tokens 50257 --prompt-tokens lognormal:256:0.8 --clients 16\n\n"
      "Works with longrun serve, llama-server, vLLM and others. Token counts are the server's "
      "own\n"
      "(usage). Latencies of an open loop count from the planned arrival. Ctrl-C prints what was\n"
      "measured so far. Ends with 1 where a request failed.");
  const auto flags = std::make_shared<BenchFlags>();
  command.act = [flags] { return Bench(*flags); };
  CLI::App* app = command.app;
  app->add_option("--url", flags->url, "The server (http://127.0.0.1:8000)")->type_name("URL");
  app->add_option("--model", flags->model, "What to ask for (the first of /v1/models)");
  app->add_option("--api-key", flags->api_key, "Sent as bearer token");
  app->add_option("--endpoint", flags->endpoint, "completions or chat (completions)")
      ->check(CLI::IsMember({"completions", "chat"}));
  AddLoadFlags(app, *flags);
  app->add_option("--slo", flags->slo, "Bounds of a good request: ttft=0.5s,itl=50ms,e2e=10s");
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
