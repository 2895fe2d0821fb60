// The `longrun` binary: which subcommands there are, their flags and their help.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "agent/agent.h"
#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/version.h"

namespace longrun::cli {
namespace {

constexpr char kFooter[] =
    R"(Longrun keeps training while what it runs on fails.

Examples:
  longrun run examples/first-run.yaml                 train, with a fleet emulated on this machine
  longrun run job.yaml --drill kill-rank@50%          the same, and kill a rank midway
  longrun why first-run                               what was decided and why
  longrun fault kill-node node-1                      break something yourself

State lies in --state DIR, else $LONGRUN_STATE, $XDG_STATE_HOME/longrun or ~/.local/state/longrun.

Exit codes:
  0 done   1 the run failed or the request was refused   2 unknown command, flag or value
  69 no controller answers   70 the machine refused   75 another controller holds the state folder
  78 the manifest is wrong   130 stopped by Ctrl-C)";

using Words = CommandShape::Words;

const std::vector<std::string>& FaultKinds() {
  static const std::vector<std::string> kinds{"kill-rank", "hang-rank", "kill-node",
                                              "kill-controller"};
  return kinds;
}

class CommandLine {
 public:
  CommandLine() {
    app_.footer(kFooter);
    app_.set_version_flag("--version", std::string("longrun ") + kVersion, "Print the version");
    app_.set_help_flag("-h,--help", "Print this help");
    app_.require_subcommand(1);
    AddRun();
    AddUp();
    AddDown();
    AddStatus();
    AddLogs();
    AddCancel();
    AddWhy();
    AddFault();
    // Subcommands that need no state folder declare themselves, each in its own file.
    const Declare declare = [this](const std::string& name, const std::string& description,
                                   const std::string& examples) -> Declared& {
      return Add(name, description, examples, nullptr, {});
    };
    DeclareFit(declare);
    DeclarePassRate(declare);
    DeclareDownstream(declare);
    DeclarePlan(declare);
    DeclareBacktest(declare);
    DeclarePredict(declare);
    DeclareCheck(declare);
    DeclareSweep(declare);
    DeclareServe(declare);
    DeclareBenchServe(declare);
    DeclareTop(declare);
    AddCompletion();
  }

  int Go(int argc, char** argv) {
    if (argc < 2) {
      std::fputs(app_.help().c_str(), stderr);
      return kUsage;
    }
    const std::string first = argv[1];
    const std::string self = argv[0];
    run_.programs = self.substr(0, self.rfind('/') + 1);
    if (first[0] != '-' && Find(first) == nullptr) {
      std::vector<std::string> names;
      for (const Declared& command : commands_) names.push_back(command.app->get_name());
      std::fprintf(stderr, "longrun: there is no command \"%s\"%s\nlongrun --help lists them\n",
                   first.c_str(), DidYouMean(first, names).c_str());
      return kUsage;
    }
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& help_or_version) {
      return app_.exit(help_or_version);
    } catch (const CLI::ParseError& error) {
      return Misused(error, first);
    }
    for (const Declared& command : commands_) {
      if (command.app->parsed()) return command.act();
    }
    return kUsage;
  }

 private:
  Declared& Add(const std::string& name, const std::string& description,
                const std::string& examples, CommonFlags* common, std::function<int()> act) {
    Declared& command = commands_.emplace_back();
    command.app = app_.add_subcommand(name, description);
    command.app->footer("Examples:\n" + examples);
    command.act = std::move(act);
    if (common != nullptr) {
      command.app->add_option("--state", common->state, "Folder of the controller's state")
          ->type_name("DIR");
      command.app->add_flag("--json", common->json, "Answer with one JSON object a line");
    }
    return command;
  }

  const CLI::App* Find(const std::string& name) const {
    for (const Declared& command : commands_) {
      if (command.app->get_name() == name) return command.app;
    }
    return nullptr;
  }

  // Told in one line, with the nearest flag where one was mistyped.
  int Misused(const CLI::ParseError& error, const std::string& command) {
    std::string hint;
    std::vector<std::string> flags;
    const CLI::App* sub = Find(command);
    if (sub != nullptr && dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
      for (const CLI::Option* option : sub->get_options()) {
        for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
      }
      for (const std::string& extra : app_.remaining(true)) {
        if (hint.empty()) hint = DidYouMean(extra.substr(0, extra.find('=')), flags);
      }
    }
    std::fprintf(stderr, "longrun: %s%s\nlongrun %s--help tells more\n", error.what(), hint.c_str(),
                 sub == nullptr ? "" : (command + " ").c_str());
    return kUsage;
  }

  template <class Flags>
  static void AddFleet(CLI::App* app, Flags& flags) {
    app->add_option("--nodes", flags.nodes, "Nodes to emulate on this machine (3)")
        ->check(CLI::Range(1, 256));
    app->add_option("--accelerators-per-node", flags.accelerators_per_node,
                    "Accelerators of each (2)")
        ->check(CLI::Range(1, 1024));
  }

  void AddRun() {
    Declared& command = Add(
        "run", "Run a manifest and watch it to its end",
        "  longrun run examples/first-run.yaml\n"
        "  longrun run job.yaml --name second-try --json | tail -n 1\n"
        "  longrun run job.yaml --drill kill-rank@50% --drill kill-controller@80%\n\n"
        "Uses the controller of the state folder where one is running (longrun up), else one of\n"
        "its own for as long as the run takes. A run of the same name that was interrupted goes "
        "on\n"
        "from its newest checkpoint. Ctrl-C lets the ranks save a checkpoint; twice stops at once.",
        &run_.common, [this] { return Run(run_); });
    command.words = Words::kFiles;
    CLI::App* app = command.app;
    app->add_option("FILE", run_.file, "The manifest (YAML)")->required();
    app->add_option("--name", run_.name, "Name of the run, in place of metadata.name");
    app->add_flag("--fresh", run_.fresh,
                  "Begin anew: the folder of an earlier run of that name becomes NAME.old");
    app->add_flag("--detach", run_.detach, "Submit to a running controller and do not watch");
    app->add_option("--drill", run_.drills,
                    "Put a fault in by itself: KIND[:RANK|:NODE]@STEP or @PERCENT%, KIND one of "
                    "kill-rank, hang-rank, kill-node, kill-controller; may be repeated")
        ->type_name("FAULT@WHEN")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    AddFleet(app, run_);
  }

  void AddUp() {
    Declared& command =
        Add("up", "Run a controller with a fleet emulated on this machine",
            "  longrun up --nodes 4 --accelerators-per-node 8\n  longrun up --detach\n",
            &up_.common, [this] { return Up(up_); });
    AddFleet(command.app, up_);
    command.app->add_flag("--detach", up_.detach, "Run it in the background");
    command.app->add_option("--log-level", up_.log_level, "Of the controller's log (info)")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}));
    // How `run` and `up --detach` start theirs.
    command.app->add_flag("--embedded", up_.embedded)->group("");
    command.app->add_flag("--of-run", up_.of_run)->group("");
  }

  void AddDown() {
    Add("down", "End the controller, its agents and their ranks",
        "  longrun down\n\nRuns under way stay in the journal and go on with the next controller.",
        &down_, [this] { return Down(down_); });
  }

  void AddStatus() {
    Declared& command = Add("status", "Show runs and nodes, or one run",
                            "  longrun status\n  longrun status first-run --json\n", &status_,
                            [this] { return Status(status_, status_run_); });
    command.words = Words::kRuns;
    command.app->add_option("RUN", status_run_, "One run alone");
  }

  void AddLogs() {
    Declared& command = Add(
        "logs", "Print what the ranks of a run wrote",
        "  longrun logs first-run -f\n  longrun logs first-run --rank 2 --stream err\n\n"
        "Each line begins with the number of its process (longrun status RUN: MEMBER) where there\n"
        "is more than one.",
        &logs_.common, [this] { return Logs(logs_); });
    command.words = Words::kRuns;
    CLI::App* app = command.app;
    app->add_option("RUN", logs_.run, "The run")->required();
    app->add_flag("-f,--follow", logs_.follow, "Go on until the run is over");
    app->add_option("--rank", logs_.rank, "The processes that have been this rank")
        ->check(CLI::NonNegativeNumber);
    app->add_option("--incarnation", logs_.incarnation, "The processes of this membership")
        ->check(CLI::NonNegativeNumber);
    app->add_option("--member", logs_.member, "One process")->check(CLI::NonNegativeNumber);
    app->add_option("--stream", logs_.stream, "out, err or both (both)")
        ->check(CLI::IsMember({"out", "err", "both"}));
  }

  void AddCancel() {
    Declared& command = Add("cancel", "Stop a run; its ranks save a checkpoint first",
                            "  longrun cancel first-run --reason \"wrong data\"\n", &cancel_,
                            [this] { return Cancel(cancel_, cancel_run_, cancel_reason_); });
    command.words = Words::kRuns;
    command.app->add_option("RUN", cancel_run_, "The run")->required();
    command.app->add_option("--reason", cancel_reason_, "For the journal");
  }

  void AddWhy() {
    Declared& command = Add("why", "Explain a run: each decision, its reason, what was known",
                            "  longrun why first-run\n  longrun why first-run --json\n\n"
                            "Reads the journal, so it works with and without a controller.",
                            &why_, [this] { return Why(why_, why_run_); });
    command.words = Words::kRuns;
    command.app->add_option("RUN", why_run_, "The run")->required();
  }

  void AddFault() {
    Declared& command =
        Add("fault", "Break something on purpose",
            "  longrun fault kill-rank --rank 2          of the only run under way\n"
            "  longrun fault hang-rank first-run --rank 0\n"
            "  longrun fault kill-node node-1\n  longrun fault kill-controller\n\n"
            "Spares are counted on from the last rank: rank 4 of a gang of four is its spare.",
            &fault_.common, [this] { return FaultCommand(); });
    command.words = Words::kChoices;
    command.choices = FaultKinds();
    command.app
        ->add_option("KIND", fault_.kind, "kill-rank, hang-rank, kill-node or kill-controller")
        ->required();
    command.app->add_option("TARGET", fault_target_, "The run, or the node for kill-node");
    command.app->add_option("--rank", fault_.rank, "For kill-rank and hang-rank")
        ->check(CLI::NonNegativeNumber);
  }

  int FaultCommand() {
    const auto misused = [](const std::string& what) {
      std::fprintf(stderr, "longrun: %s\nlongrun fault --help tells more\n", what.c_str());
      return kUsage;
    };
    const bool known =
        std::find(FaultKinds().begin(), FaultKinds().end(), fault_.kind) != FaultKinds().end();
    if (!known) {
      return misused("\"" + fault_.kind + "\" is no fault" + DidYouMean(fault_.kind, FaultKinds()));
    }
    const bool of_rank = fault_.kind == "kill-rank" || fault_.kind == "hang-rank";
    if (of_rank && fault_.rank < 0) return misused(fault_.kind + ": say which with --rank N");
    if (fault_.kind == "kill-node") {
      if (fault_target_.empty()) return misused("kill-node: say which, for example node-1");
      fault_.node = fault_target_;
    } else {
      fault_.run = fault_target_;
    }
    return Fault(fault_);
  }

  void AddCompletion() {
    Declared& command = Add("completion", "Print a completion script: bash, zsh or fish",
                            "  source <(longrun completion bash)\n"
                            "  longrun completion fish > ~/.config/fish/completions/longrun.fish\n",
                            nullptr, [this] { return PrintCompletion(); });
    command.words = Words::kChoices;
    command.choices = {"bash", "zsh", "fish"};
    command.app->add_option("SHELL", shell_, "bash, zsh or fish")->required();
  }

  int PrintCompletion() {
    std::vector<CommandShape> shapes;
    for (const Declared& command : commands_) {
      CommandShape& shape = shapes.emplace_back();
      shape.name = command.app->get_name();
      shape.description = command.app->get_description();
      shape.words = command.words;
      shape.choices = command.choices;
      for (const CLI::Option* option : command.app->get_options()) {
        if (option->get_group().empty()) continue;
        for (const std::string& name : option->get_lnames()) shape.options.push_back("--" + name);
      }
    }
    const absl::StatusOr<std::string> script = CompletionScript(shell_, shapes);
    if (!script.ok()) {
      PrintError(script.status());
      return kUsage;
    }
    std::fputs(script->c_str(), stdout);
    return kOk;
  }

  CLI::App app_{"Longrun trains models on fleets that keep failing.", "longrun"};
  // Declared& are kept while commands are added.
  std::deque<Declared> commands_;
  RunFlags run_;
  UpFlags up_;
  CommonFlags down_;
  CommonFlags status_;
  std::string status_run_;
  LogsFlags logs_;
  CommonFlags cancel_;
  std::string cancel_run_;
  std::string cancel_reason_ = "longrun cancel";
  CommonFlags why_;
  std::string why_run_;
  FaultFlags fault_;
  std::string fault_target_;
  std::string shell_;
};

// `longrun agent`: started by an engine, so it has flags of its own.
int Agent(const std::vector<std::string>& flags) {
  for (const std::string& flag : flags) {
    if (flag != "--help" && flag != "-h") continue;
    std::fputs(agent::OptionsHelp(), stdout);
    return kOk;
  }
  const absl::StatusOr<agent::Options> options = agent::ParseOptions(flags);
  if (options.ok()) return agent::Main(*options);
  PrintError(options.status());
  return kUsage;
}

}  // namespace
}  // namespace longrun::cli

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "agent") {
    return longrun::cli::Agent(std::vector<std::string>(argv + 2, argv + argc));
  }
  return longrun::cli::CommandLine().Go(argc, argv);
}
