#include "cli/completion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/nearest.h"

namespace longrun::cli {
namespace {

using Words = CommandShape::Words;

// The same order as cli/state_folder.h.
constexpr char kRuns[] =
    "ls \"${LONGRUN_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/longrun}/runs\" 2>/dev/null";
constexpr char kFishRuns[] =
    "(set -l s $LONGRUN_STATE; test -z \"$s\"; and set s "
    "(test -n \"$XDG_STATE_HOME\"; and echo $XDG_STATE_HOME; or echo ~/.local/state)/longrun; "
    "ls $s/runs 2>/dev/null)";

std::string Names(const std::vector<CommandShape>& commands) {
  return absl::StrJoin(commands, " ", [](std::string* out, const CommandShape& command) {
    out->append(command.name);
  });
}

std::string Bash(const std::vector<CommandShape>& commands) {
  std::string cases;
  for (const CommandShape& command : commands) {
    std::string words;
    if (command.words == Words::kRuns) words = absl::StrCat("$(", kRuns, ")");
    if (command.words == Words::kChoices) words = absl::StrJoin(command.choices, " ");
    absl::StrAppend(&cases, "    ", command.name, ")\n      options=\"",
                    absl::StrJoin(command.options, " "), "\"\n      words=\"", words,
                    "\"\n      files=", command.words == Words::kFiles ? 1 : 0, " ;;\n");
  }
  return absl::StrCat(R"(# bash completion of longrun: source <(longrun completion bash)
_longrun() {
  local current=${COMP_WORDS[COMP_CWORD]} options="" words="" files=0
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W ")",
                      Names(commands), R"( --help --version" -- "$current"))
    return
  fi
  case ${COMP_WORDS[1]} in
)",
                      cases, R"(  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif ((files)); then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -F _longrun longrun
)");
}

// Text within single quotes of any of the shells.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "’"}}), "'");
}

std::string Zsh(const std::vector<CommandShape>& commands) {
  std::string described, cases;
  for (const CommandShape& command : commands) {
    absl::StrAppend(&described, "    ",
                    Quoted(absl::StrCat(command.name, ":", command.description)), "\n");
    std::string words;
    if (command.words == Words::kFiles) words = "_files";
    if (command.words == Words::kRuns) words = absl::StrCat("compadd -- $(", kRuns, ")");
    if (command.words == Words::kChoices) {
      words = absl::StrCat("compadd -- ", absl::StrJoin(command.choices, " "));
    }
    absl::StrAppend(
        &cases, "    ", command.name, ")\n      if [[ $PREFIX == -* ]]; then compadd -- ",
        absl::StrJoin(command.options, " "), "; else ", words.empty() ? ":" : words, "; fi ;;\n");
  }
  return absl::StrCat(
      "#compdef longrun\n# zsh completion of longrun: longrun completion zsh > "
      "~/.zfunc/_longrun\n_longrun() {\n  local -a commands=(\n",
      described,
      "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    "
      "return\n  fi\n  case $words[2] in\n",
      cases, "  esac\n}\ncompdef _longrun longrun\n");
}

std::string Fish(const std::vector<CommandShape>& commands) {
  std::string out =
      "# fish completion of longrun: longrun completion fish > "
      "~/.config/fish/completions/longrun.fish\ncomplete -c longrun -f\n";
  for (const CommandShape& command : commands) {
    absl::StrAppend(&out, "complete -c longrun -n __fish_use_subcommand -a ", command.name, " -d ",
                    Quoted(command.description), "\n");
    const std::string here =
        absl::StrCat("complete -c longrun -n '__fish_seen_subcommand_from ", command.name, "'");
    for (const std::string& option : command.options) {
      if (option.rfind("--", 0) == 0) absl::StrAppend(&out, here, " -l ", option.substr(2), "\n");
    }
    if (command.words == Words::kFiles) absl::StrAppend(&out, here, " -F\n");
    if (command.words == Words::kRuns) absl::StrAppend(&out, here, " -a '", kFishRuns, "'\n");
    if (command.words == Words::kChoices) {
      absl::StrAppend(&out, here, " -a '", absl::StrJoin(command.choices, " "), "'\n");
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(const std::string& shell,
                                             const std::vector<CommandShape>& commands) {
  if (shell == "bash") return Bash(commands);
  if (shell == "zsh") return Zsh(commands);
  if (shell == "fish") return Fish(commands);
  return absl::InvalidArgumentError(absl::StrCat("completion of \"", shell,
                                                 "\" is not known; bash, zsh and fish are",
                                                 DidYouMean(shell, {"bash", "zsh", "fish"})));
}

}  // namespace longrun::cli
