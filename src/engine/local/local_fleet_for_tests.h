// A fleet on this machine for tests: the engine, its server and a folder that goes away with it.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/process.h"
#include "base/time.h"
#include "engine/local/local_engine.h"

namespace longrun::engine {

class LocalFleet {
 public:
  LocalFleet(int nodes, int accelerators) {
    char folder[] = "/tmp/longrun-local-XXXXXX";
    LR_CHECK(::mkdtemp(folder) != nullptr);
    options.state_folder = folder;
    options.control_address = "unix:" + options.state_folder + "/control.sock";
    options.agent_command = {LONGRUN_AGENT_FOR_TESTS};
    options.nodes = nodes;
    options.accelerators_per_node = accelerators;
    options.repair_after = Duration::Millis(200);
    options.expect_within = Duration::Seconds(5);
    options.orphan_after = Duration::Minutes(1);
    options.log_level = "debug";
    std::filesystem::create_directories(options.state_folder + "/starts");
  }
  ~LocalFleet() {
    if (engine == nullptr) StartController();
    engine->Shutdown("the test is over", Duration::Millis(200));
    StopController();
    std::error_code error;
    std::filesystem::remove_all(options.state_folder, error);
  }

  void StartController() {
    engine = std::make_unique<LocalEngine>(options);
    const absl::Status started = engine->Start();
    LR_CHECK(started.ok());
    auto built = BuildServer(options.control_address, {engine->service()});
    LR_CHECK(built.ok());
    server = *std::move(built);
  }
  // As a controller that is killed, for all that its agents can tell.
  void StopController() {
    server->Shutdown(std::chrono::system_clock::now());
    server.reset();
    engine.reset();
  }

  std::string NodeFolder(const std::string& node) const {
    return options.state_folder + "/nodes/" + node;
  }
  int AgentPid(const std::string& node) const {
    const auto record = ReadProcessRecord(NodeFolder(node) + "/agent");
    return record.ok() && record->alive() ? record->pid : -1;
  }
  // What runs on the node in the name of its members, grandchildren too.
  std::vector<int> Processes(const std::string& node) const {
    const std::string mark = "LONGRUN_SOCKET=" + NodeFolder(node) + "/rank.sock";
    std::vector<int> pids;
    for (const ProcessInfo& process : AllProcesses()) {
      if (process.state != 'Z' && EnvironmentHas(process.pid, mark)) pids.push_back(process.pid);
    }
    return pids;
  }
  // A shell command whose starts are counted.
  std::vector<std::string> Shell(const std::string& script) const {
    return {
        "/bin/sh", "-c",
        "echo x >> " + options.state_folder + "/starts/$LONGRUN_RUN.$LONGRUN_MEMBER; " + script};
  }
  int Starts(const std::string& run, int64_t member) const {
    std::error_code error;
    const auto size = std::filesystem::file_size(
        options.state_folder + "/starts/" + run + "." + std::to_string(member), error);
    return error ? 0 : static_cast<int>(size / 2);
  }

  LocalOptions options;
  std::unique_ptr<LocalEngine> engine;
  std::unique_ptr<grpc::Server> server;
};

}  // namespace longrun::engine
