// `longrun serve`: becomes longrun-worker, which has the model code and libtorch.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/state_folder.h"

namespace longrun::cli {
namespace {

// Beside this program, else wherever the shell finds it.
std::string WorkerProgram() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = self.parent_path() / "longrun-worker";
  return !error && ::access(beside.c_str(), X_OK) == 0 ? beside.string() : "longrun-worker";
}

int Serve(const std::vector<std::string>& words) {
  const std::string program = WorkerProgram();
  // Called by this name, the worker's help and errors speak of `longrun serve`.
  std::string name = "longrun";
  std::string command = "serve";
  std::vector<char*> arguments{name.data(), command.data()};
  std::vector<std::string> copies = words;
  // The model may be that of a run.
  if (const auto state = FindStateFolder(""); state.ok()) {
    copies.insert(copies.begin(), {"--runs", state->runs()});
  }
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(program.c_str(), arguments.data());
  std::fprintf(
      stderr,
      "longrun: cannot start %s: %s; serving needs longrun-worker beside longrun or on the "
      "PATH\n",
      program.c_str(), std::strerror(errno));
  return kUnavailable;
}

}  // namespace

void DeclareServe(const Declare& declare) {
  Declared& command = declare("serve", "Serve a model over the OpenAI HTTP API",
                              "  longrun serve first-run --port 8000     a run, or the folder of "
                              "a model\n"
                              "  longrun serve --help\n");
  command.words = CommandShape::Words::kFiles;
  // What follows is the worker's to read, --help too.
  command.app->prefix_command();
  command.app->set_help_flag();
  CLI::App* app = command.app;
  command.act = [app] { return Serve(app->remaining()); };
}

}  // namespace longrun::cli
