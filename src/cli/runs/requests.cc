// `longrun cancel` and `longrun fault`: one request to a running controller each.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "api/client.h"
#include "api/server.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/state_folder.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

absl::StatusOr<StateFolder> Controlled(const CommonFlags& flags) {
  LR_ASSIGN_OR_RETURN(StateFolder state, FindStateFolder(flags.state));
  if (api::Answers(state.socket())) return state;
  return absl::UnavailableError(absl::StrCat("no controller is running with the state folder ",
                                             state.path,
                                             "; longrun up or longrun run FILE starts one"));
}

int Answer(const CommonFlags& flags, const absl::Status& status,
           const nlohmann::ordered_json& answer, const std::string& text) {
  if (!status.ok()) {
    PrintError(status);
    return ExitCodeOf(status);
  }
  std::printf("%s\n", flags.json ? answer.dump().c_str() : text.c_str());
  return kOk;
}

// The run that a fault without a name is meant for: the only one under way.
absl::StatusOr<std::string> OnlyRun(api::Client& client) {
  LR_ASSIGN_OR_RETURN(const auto reply, client.Status("", Duration::Seconds(10)));
  std::string found;
  for (const auto& view : reply.runs()) {
    if (view.over()) continue;
    if (!found.empty()) {
      return absl::FailedPreconditionError(
          "more than one run is under way; say which: longrun fault KIND RUN");
    }
    found = view.run();
  }
  if (found.empty()) return absl::FailedPreconditionError("no run is under way");
  return found;
}

}  // namespace

int Cancel(const CommonFlags& flags, const std::string& run, const std::string& reason) {
  const absl::StatusOr<StateFolder> state = Controlled(flags);
  if (!state.ok()) return Answer(flags, state.status(), {}, "");
  api::Client client(state->socket());
  return Answer(flags, client.Cancel(run, reason), {{"run", run}, {"cancelled", true}},
                absl::StrCat(run, " is being stopped; its ranks save a checkpoint first"));
}

int Fault(const FaultFlags& flags) {
  const absl::StatusOr<StateFolder> state = Controlled(flags.common);
  if (!state.ok()) return Answer(flags.common, state.status(), {}, "");
  api::Client client(state->socket());
  api::v1::FaultRequest request;
  request.set_kind(flags.kind);
  request.set_run(flags.run);
  request.set_rank(flags.rank);
  request.set_node(flags.node);
  if ((flags.kind == "kill-rank" || flags.kind == "hang-rank") && flags.run.empty()) {
    const absl::StatusOr<std::string> run = OnlyRun(client);
    if (!run.ok()) return Answer(flags.common, run.status(), {}, "");
    request.set_run(*run);
  }
  const std::string what = flags.rank >= 0 ? absl::StrCat(" ", request.run(), " rank ", flags.rank)
                           : flags.node.empty() ? ""
                                                : " " + flags.node;
  nlohmann::ordered_json answer{{"kind", flags.kind}};
  if (!request.run().empty()) answer["run"] = request.run();
  if (flags.rank >= 0) answer["rank"] = flags.rank;
  if (!flags.node.empty()) answer["node"] = flags.node;
  answer["done"] = true;
  return Answer(flags.common, client.Fault(request), answer,
                absl::StrCat("done: ", flags.kind, what,
                             flags.kind == "kill-controller"
                                 ? "; the ranks run on. The longrun run that started it starts "
                                   "another; for longrun up do it yourself"
                                 : ""));
}

}  // namespace longrun::cli
