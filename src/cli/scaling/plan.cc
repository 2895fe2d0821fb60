// `longrun plan`: from a law, a cluster and limits to what to train, on what, for how long.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/units.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/runs/story.h"
#include "cli/scaling/plan_view.h"
#include "scaling/fit/fit_file.h"
#include "scaling/laws/published.h"
#include "scaling/plan/json.h"
#include "scaling/plan/plan.h"

namespace longrun::cli {
namespace {

using scaling::Cluster;
using scaling::PlanRequest;

constexpr int64_t kYamlFileLimit = 1 << 20;
constexpr int64_t kFitFileLimit = 256 << 20;

struct PlanFlags {
  std::string law;
  std::string cluster;
  std::string shape;
  std::string layout;
  // Amounts as typed; "" where not given.
  std::string target_loss, params, tokens, compute, money, deadline, power, accelerators, data;
  std::string serve, batch;
  int64_t context = 8192;
  int64_t vocabulary = 32000;
  double confidence = 0.99;
  bool recompute = false;
  bool json = false;
};

// Reads an amount of the flag `name`; nothing where it was not given.
absl::Status ReadAmount(const std::string& name, const std::string& text,
                        std::optional<double>* value) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<double> amount = ParseQuantity(text);
  if (!amount.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", std::string(amount.status().message())));
  }
  *value = *amount;
  return absl::OkStatus();
}

// "20MW", "800kW", "5e6" (watts).
absl::Status ReadPower(std::string text, std::optional<double>* watts) {
  if (!text.empty() && text.back() == 'W') text.pop_back();
  return ReadAmount("--power", text, watts);
}

absl::Status ReadDeadline(const std::string& text, std::optional<double>* seconds) {
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<Duration> time = ParseDuration(text);
  if (!time.ok() || time->us == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--deadline: \"", text, "\" is no time; write for example 30d or 12h"));
  }
  *seconds = time->seconds();
  return absl::OkStatus();
}

// "128x8x16": data, tensor, pipeline.
absl::StatusOr<scaling::Layout> ReadLayout(const std::string& text, bool recompute) {
  scaling::Layout layout;
  layout.chunks = 0;
  const std::vector<std::string> parts = absl::StrSplit(text, 'x');
  int64_t* const counts[] = {&layout.data, &layout.tensor, &layout.pipeline};
  bool right = parts.size() == 3;
  for (size_t i = 0; right && i < parts.size(); ++i) {
    right = absl::SimpleAtoi(parts[i], counts[i]) && *counts[i] >= 1 && *counts[i] <= 1'000'000;
  }
  if (!right) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--layout: \"", text, "\" is none; data x tensor x pipeline is right, such as 128x8x16"));
  }
  layout.recompute = recompute;
  return layout;
}

absl::Status ReadAmounts(const PlanFlags& flags, PlanRequest& request) {
  scaling::PlanLimits& limits = request.limits;
  std::optional<double> served, batch;
  LR_RETURN_IF_ERROR(ReadAmount("--target-loss", flags.target_loss, &request.target_loss));
  LR_RETURN_IF_ERROR(ReadAmount("--params", flags.params, &request.params));
  LR_RETURN_IF_ERROR(ReadAmount("--tokens", flags.tokens, &request.tokens));
  LR_RETURN_IF_ERROR(ReadAmount("--compute", flags.compute, &limits.compute_flop));
  LR_RETURN_IF_ERROR(ReadAmount("--money", flags.money, &limits.money));
  LR_RETURN_IF_ERROR(ReadAmount("--accelerators", flags.accelerators, &limits.accelerators));
  LR_RETURN_IF_ERROR(ReadAmount("--data", flags.data, &limits.data_tokens));
  LR_RETURN_IF_ERROR(ReadAmount("--serve", flags.serve, &served));
  LR_RETURN_IF_ERROR(ReadAmount("--batch-tokens", flags.batch, &batch));
  LR_RETURN_IF_ERROR(ReadPower(flags.power, &limits.watts));
  LR_RETURN_IF_ERROR(ReadDeadline(flags.deadline, &limits.seconds));
  request.served_tokens = served.value_or(0);
  request.batch_tokens = batch.value_or(0);
  return absl::OkStatus();
}

// A law that longrun fit wrote, with its resamples; refuses one that is not to be trusted.
absl::StatusOr<std::string> ReadFitted(const std::string& text, const std::string& file,
                                       PlanRequest& request) {
  LR_ASSIGN_OR_RETURN(const scaling::FitRecord record, scaling::ReadFitFile(text, file));
  const scaling::Fit& fit = record.fit;
  if (!fit.trusted()) {
    const scaling::Refusal& refusal = fit.refusals.front();
    return absl::FailedPreconditionError(
        absl::StrCat(file, ": this fit is not to be planned by: ", refusal.reason,
                     "; what would mend it: ", refusal.measure_next));
  }
  LR_ASSIGN_OR_RETURN(request.loss, scaling::LossOfLaw(*fit.law, fit.parameters));
  for (const scaling::Vector& parameters : record.bootstrap.parameters) {
    LR_ASSIGN_OR_RETURN(request.others.emplace_back(), scaling::LossOfLaw(*fit.law, parameters));
  }
  for (const scaling::Point& point : record.points) {
    request.fitted_flop =
        std::max(request.fitted_flop, scaling::kFlopPerParamToken * point.params * point.tokens);
  }
  return absl::StrCat(std::string(fit.law->formula()), ", ", file, ", ",
                      Counted(fit.points, "point"));
}

// What the plan goes by; returns it in words.
absl::StatusOr<std::string> ReadLaw(const std::string& name, PlanRequest& request) {
  const absl::StatusOr<std::string> text = ReadFile(name, kFitFileLimit);
  if (text.ok()) return ReadFitted(*text, name, request);
  const absl::StatusOr<scaling::PublishedFit> fit = scaling::FindPublishedFit(name);
  if (!fit.ok()) {
    return absl::NotFoundError(absl::StrCat(std::string(text.status().message()), ", and ",
                                            std::string(fit.status().message())));
  }
  LR_ASSIGN_OR_RETURN(request.loss, scaling::LossOfLaw(*fit->law, fit->parameters));
  return absl::StrCat(std::string(fit->law->formula()), ", ", fit->source);
}

struct Question {
  PlanRequest request;
  std::optional<Cluster> cluster;
  std::string law;
};

absl::StatusOr<Question> ReadQuestion(const PlanFlags& flags) {
  Question question;
  LR_RETURN_IF_ERROR(ReadAmounts(flags, question.request));
  question.request.context = flags.context;
  question.request.vocabulary = flags.vocabulary;
  question.request.spares_confidence = flags.confidence;
  if (!flags.layout.empty()) {
    LR_ASSIGN_OR_RETURN(question.request.layout, ReadLayout(flags.layout, flags.recompute));
  }
  LR_ASSIGN_OR_RETURN(question.law, ReadLaw(flags.law, question.request));
  if (!flags.shape.empty()) {
    LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.shape, kYamlFileLimit));
    LR_ASSIGN_OR_RETURN(question.request.shape, scaling::ParseModelShape(text, flags.shape));
    if (!question.request.params) question.request.params = question.request.shape->Params();
  }
  if (!flags.cluster.empty()) {
    LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.cluster, kYamlFileLimit));
    LR_ASSIGN_OR_RETURN(question.cluster, scaling::ParseCluster(text, flags.cluster));
  }
  return question;
}

int Refused(const absl::Status& status) {
  PrintError(status);
  return ExitCodeOf(status);
}

int Plan(const PlanFlags& flags) {
  const absl::StatusOr<Question> question = ReadQuestion(flags);
  if (!question.ok()) return Refused(question.status());
  const Cluster* cluster = question->cluster ? &*question->cluster : nullptr;
  const absl::StatusOr<scaling::Plan> plan = scaling::MakePlan(question->request, cluster);
  if (!plan.ok()) return Refused(plan.status());
  if (flags.json) {
    nlohmann::ordered_json json{{"law", question->law}};
    json.update(scaling::PlanJson(*plan, cluster));
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::fputs(PlanText(*plan, cluster, question->law).c_str(), stdout);
  }
  return plan->feasible ? kOk : kFailed;
}

constexpr char kExamples[] =
    R"(  longrun plan fit.json --compute 5.76e23
  longrun plan besiroglu --compute 1e23 --serve 10T
  longrun plan besiroglu --money 1M --deadline 30d --cluster examples/clusters/aws-p5-h100.yaml
  longrun plan besiroglu --target-loss 1.95 --data 10T --cluster hall.yaml --power 20MW
  longrun plan besiroglu --shape examples/models/llama-3-405b.yaml --tokens 15.6T \
    --batch-tokens 16777216 --accelerators 16384 --layout 128x8x16 \
    --cluster examples/clusters/llama-3-h100.yaml

--target-loss, or --params and --tokens together, say what to train; otherwise the lowest loss
within the limits is sought: --compute, --money, --deadline, --power, --accelerators, --data.
Amounts may end in k, M, B (or G), T, P. Exit code 1: the limits do not allow it.)";

void AddAmounts(CLI::App* app, PlanFlags& flags) {
  const auto amount = [app](const char* name, std::string& value, const char* what) {
    app->add_option(name, value, what)->type_name("AMOUNT");
  };
  amount("--target-loss", flags.target_loss, "Loss to reach, as cheaply as can be");
  amount("--params", flags.params, "Parameters of the model, where they are given");
  amount("--tokens", flags.tokens, "Tokens to train on, where they are given");
  amount("--compute", flags.compute, "At most: FLOP, counted as 6 · parameters · tokens");
  amount("--money", flags.money, "At most: in the cluster's currency");
  app->add_option("--deadline", flags.deadline, "At most: time until the last step (30d, 12h)")
      ->type_name("TIME");
  app->add_option("--power", flags.power, "At most: drawn by the facility (20MW)")
      ->type_name("WATTS");
  amount("--accelerators", flags.accelerators, "At most: that compute (the cluster's)");
  amount("--data", flags.data, "At most: tokens there are to train on");
  amount("--serve", flags.serve, "Tokens to be served: shows the cheapest model over its life");
  amount("--batch-tokens", flags.batch, "Tokens of a step (the critical batch size)");
}

}  // namespace

void DeclarePlan(const Declare& declare) {
  auto flags = std::make_shared<PlanFlags>();
  Declared& command =
      declare("plan", "Plan a training: model, layout, time, cost, what binds", kExamples);
  command.words = CommandShape::Words::kFiles;
  command.act = [flags] { return Plan(*flags); };
  CLI::App* app = command.app;
  app->add_option("LAW", flags->law,
                  "What longrun fit wrote, or a published law: besiroglu, hoffmann, gadre, kaplan")
      ->required();
  app->add_option("--cluster", flags->cluster, "The machines (YAML; examples/clusters)")
      ->type_name("FILE");
  app->add_option("--shape", flags->shape, "The model's layers and widths (YAML; examples/models)")
      ->type_name("FILE");
  app->add_option("--layout", flags->layout, "DATAxTENSORxPIPELINE (the fastest that fits)")
      ->type_name("LAYOUT");
  app->add_flag("--recompute", flags->recompute, "With --layout: recompute activations");
  AddAmounts(app, *flags);
  app->add_option("--context", flags->context, "Tokens of a sequence (8192)")
      ->check(CLI::Range(1, 100'000'000));
  app->add_option("--vocabulary", flags->vocabulary, "Without --shape: its tokens (32000)")
      ->check(CLI::Range(1, 100'000'000));
  app->add_option("--confidence", flags->confidence, "That the spare nodes suffice (0.99)")
      ->check(CLI::Range(0.5, 0.999999));
  app->add_flag("--json", flags->json, "Answer with one JSON object");
}

}  // namespace longrun::cli
