// The flags of `serve`.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/units.h"
#include "worker/commands.h"
#include "worker/serve.h"

namespace longrun::worker {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  longrun serve first-run --port 8000  the model of a run\n"
    "  longrun serve llama-3.2-1b --weights int8 --memory 4Gi --api-keys tenants.yaml\n"
    "  longrun serve gpt2 --plan            what fits into the memory there is\n"
    "  curl localhost:8000/v1/completions -H 'Content-Type: application/json' \\\n"
    "    -d '{\"model\": \"gpt2\", \"prompt\": \"Never trust\", \"max_tokens\": 20}'\n\n"
    "SIGTERM or Ctrl-C: takes no new requests, finishes those under way, then ends. Twice: at "
    "once.";

// An option whose text `parse` understands; its errors become CLI11's.
template <class Value, class Parse>
CLI::Option* AddParsed(CLI::App* app, const std::string& name, Value* value, Parse parse,
                       const std::string& what) {
  return app->add_option_function<std::string>(
      name,
      [value, parse, name](const std::string& text) {
        const auto parsed = parse(text);
        if (!parsed.ok()) {
          throw CLI::ValidationError(name, std::string(parsed.status().message()));
        }
        *value = *parsed;
      },
      what);
}

void AddModel(CLI::App* app, ServeOptions* o) {
  app->add_option("MODEL", o->model_dir,
                  "Folder with config.json, safetensors and a tokenizer (GPT-2 or Llama family), "
                  "or a run's name")
      ->required();
  app->add_option("--runs", o->runs_dir)->group("");  // given by `longrun serve`
  app->add_option("--name", o->name, "How clients call it (the folder's name)");
  app->add_option("--device", o->device,
                  "cpu (own loops), or by libtorch: cuda, cuda:N (never tried yet), torch:cpu")
      ->capture_default_str();
  app->add_option("--weights", o->weights,
                  "Held as auto (as in the files), f32, bf16, f16 (cuda) or int8 (cpu)")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16", "int8"}))
      ->capture_default_str();
  app->add_option("--chat-template", o->chat_template,
                  "chatml, llama2, llama3, plain or a Jinja file (the model's own)");
  app->add_option("--tool-format", o->tool_format,
                  "How the model calls tools: hermes, llama3, mistral, none, or auto (as its chat "
                  "template has it)")
      ->check(CLI::IsMember({"auto", "hermes", "llama3", "mistral", "none"}))
      ->capture_default_str();
  app->add_option("--threads", o->threads, "That compute (one for each core)")
      ->check(CLI::Range(1, 1024));
}

void AddMemory(CLI::App* app, ServeOptions* o) {
  AddParsed(app, "--memory", &o->memory_bytes, ParseBytes,
            "For weights, activations and cache, e.g. 8Gi (nine tenths of what is left)")
      ->type_name("BYTES");
  app->add_option("--context", o->context,
                  "Tokens of the longest prompt with its answer (the model's own)")
      ->check(CLI::Range(1, 1 << 24));
  app->add_option("--cache", o->cache,
                  "Keys and values as auto (bf16 or f32, as the weights), "
                  "f32, bf16 or int8")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "int8"}))
      ->capture_default_str();
  app->add_option("--block-tokens", o->block_tokens, "Tokens of a block of the cache")
      ->check(CLI::IsMember({"8", "16", "32", "64", "128"}))
      ->capture_default_str();
  app->add_option("--max-sequences", o->max_sequences, "At once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app->add_option("--max-step-tokens", o->max_step_tokens, "Of prompts and answers in one step")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app->add_flag("!--no-prefix-sharing", o->share_prefixes, "Compute each prompt by itself");
  app->add_option("--speculate", o->speculate,
                  "Draft up to so many tokens from the text so far; answers stay the same (0)")
      ->check(CLI::Range(0, 32));
  app->add_flag("--plan", o->plan_only, "Print the memory plan and end");
}

void AddService(CLI::App* app, ServeOptions* o) {
  app->add_option("--host", o->host, "Address to listen on")->capture_default_str();
  app->add_option("--port", o->port, "0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  const auto duration = [&](const char* name, Duration* value, const char* what) {
    AddParsed(app, name, value, ParseDuration, what)->type_name("TIME");
  };
  duration("--ttft", &o->first_token_goal, "Goal for the time to first token (1s)");
  duration("--itl", &o->inter_token_goal, "Goal between tokens: bounds a step (100ms)");
  duration("--max-wait", &o->max_wait, "Whoever would wait longer is refused with 429 (30s)");
  duration("--drain", &o->drain, "For what is under way when told to stop (30s)");
  app->add_option("--api-keys", o->api_keys, "File of tenants, their keys and limits (YAML)");
  CLI::Option* certificate =
      app->add_option("--tls-certificate", o->certificate, "PEM; with --tls-key: HTTPS");
  CLI::Option* key = app->add_option("--tls-key", o->key, "PEM");
  certificate->needs(key);
  key->needs(certificate);
  app->add_option("--feedback", o->feedback_dir,
                  "Folder for what /v1/feedback is told (MODEL/feedback)");
  app->add_flag("--json", o->json, "Say what is said at start as one JSON object");
}

}  // namespace

std::shared_ptr<void> AddServeCommand(CLI::App* app, Work* work) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* serve = app->add_subcommand("serve", "serve a model over the OpenAI HTTP API");
  AddModel(serve, options.get());
  AddMemory(serve, options.get());
  AddService(serve, options.get());
  serve->footer(kExamples);
  serve->callback([options, work] { *work = [options] { return Serve(*options); }; });
  return options;
}

}  // namespace longrun::worker
