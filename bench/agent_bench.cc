// What the agent costs: kill -9 of a rank until control observes it, a rank's commit until control
// observes it, time to attach again to a new controller, memory and CPU of an agent that idles.
//
//   agent_bench [KILLS]
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "agent/agent.h"
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "engine/local/local_engine.h"

namespace longrun {
namespace {

class Bench {
 public:
  Bench() {
    char folder[] = "/tmp/longrun-bench-XXXXXX";
    LR_CHECK(::mkdtemp(folder) != nullptr);
    options_.state_folder = folder;
    options_.control_address = "unix:" + options_.state_folder + "/control.sock";
    options_.agent_command = {std::filesystem::read_symlink("/proc/self/exe").string(), "agent"};
    options_.accelerators_per_node = 8;
    StartController();
  }
  ~Bench() {
    engine_->Shutdown("measured", Duration::Millis(100));
    StopController();
    std::filesystem::remove_all(options_.state_folder);
  }
  void StartController() {
    engine_ = std::make_unique<engine::LocalEngine>(options_);
    LR_CHECK(engine_->Start().ok());
    auto server = engine::BuildServer(options_.control_address, {engine_->service()});
    LR_CHECK(server.ok());
    server_ = *std::move(server);
  }
  void StopController() {
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    engine_.reset();
  }

  template <class T>
  T Wait() {
    while (true) {
      for (const fleet::Event& event : engine_->Observe(Duration::Seconds(1))) {
        if (!event.source.node.empty()) {
          engine_->Acknowledge(event.source.node, event.source.session, event.source.seq);
        }
        if (const T* body = std::get_if<T>(&event.body)) return *body;
      }
    }
  }
  void Join() {
    engine_->Expect({});
    session_ = Wait<fleet::NodeJoined>().session;
  }
  void Wish(int64_t member, const std::vector<std::string>& command) {
    fleet::NodeDesired desired;
    desired.node = fleet::NodeId("node-0");
    desired.session = session_;
    desired.revision = ++revision_;
    fleet::DesiredMember one{.run = fleet::RunId("run"), .member = member};
    one.rank = 0;
    one.world = 1;
    desired.members = {one};
    desired.specs[one.run].command = command;
    engine_->Apply(desired);
  }
  int AgentPid() const {
    return ReadProcessRecord(options_.state_folder + "/nodes/node-0/agent")->pid;
  }
  fleet::Node Known() const {
    fleet::Node node;
    node.id = fleet::NodeId("node-0");
    node.session = session_;
    node.up = true;
    return node;
  }
  engine::LocalEngine& engine() { return *engine_; }

 private:
  engine::LocalOptions options_;
  std::unique_ptr<engine::LocalEngine> engine_;
  std::unique_ptr<grpc::Server> server_;
  uint64_t session_ = 0;
  uint64_t revision_ = 0;
};

void Print(const char* what, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  printf("%-48s median %7.2f ms   worst %7.2f ms   (%zu times)\n", what,
         seconds[seconds.size() / 2] * 1e3, seconds.back() * 1e3, seconds.size());
}

void MeasureKills(Bench& bench, int kills) {
  std::vector<double> starts, ends;
  for (int i = 0; i < kills; ++i) {
    const Stopwatch start;
    bench.Wish(i + 1, {"/bin/sleep", "1000"});
    const auto started = bench.Wait<fleet::MemberStarted>();
    starts.push_back(start.seconds());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const Stopwatch end;
    ::kill(static_cast<int>(started.pid), SIGKILL);
    bench.Wait<fleet::MemberExited>();
    ends.push_back(end.seconds());
  }
  Print("wish -> process started, observed", starts);
  Print("kill -9 of a rank -> exit observed", ends);
}

void MeasureReattachment(Bench& bench) {
  std::vector<double> times;
  for (int i = 0; i < 10; ++i) {
    bench.StopController();
    std::this_thread::sleep_for(std::chrono::milliseconds(300 + 37 * i));
    const Stopwatch watch;
    bench.StartController();
    bench.engine().Expect({bench.Known()});
    engine::Fault fault;
    fault.node = fleet::NodeId("node-0");
    fault.run = fleet::RunId("none");
    while (!bench.engine().Inject(fault).ok()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    times.push_back(watch.seconds());
  }
  Print("new controller -> agent attached", times);
}

void MeasureIdleAgent(int pid) {
  const auto cpu_ticks = [&] {
    const std::string stat = *ReadFile("/proc/" + std::to_string(pid) + "/stat");
    long user = 0, system = 0;
    sscanf(stat.c_str() + stat.rfind(')') + 2,
           "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system);
    return user + system;
  };
  constexpr double kSeconds = 20;
  const long before = cpu_ticks();
  std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
  const double cpu =
      static_cast<double>(cpu_ticks() - before) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const std::string status = *ReadFile("/proc/" + std::to_string(pid) + "/status");
  const auto field = [&](const char* name) {
    return atol(status.c_str() + status.find(name) + strlen(name)) / 1024.0;
  };
  printf("an idle agent: %.1f MiB resident (%.1f MiB its own), %.2f %% of a core\n",
         field("VmRSS:"), field("RssAnon:"), cpu / kSeconds * 100);
}

}  // namespace
}  // namespace longrun

int main(int argc, char** argv) {
  using namespace longrun;
  if (argc > 1 && std::string(argv[1]) == "agent") {
    const auto options = agent::ParseOptions(std::vector<std::string>(argv + 2, argv + argc));
    LR_CHECK(options.ok());
    return agent::Main(*options);
  }
  SetUpLog("bench", "", "off");
  Bench bench;
  bench.Join();
  MeasureKills(bench, argc > 1 ? atoi(argv[1]) : 200);
  MeasureReattachment(bench);
  MeasureIdleAgent(bench.AgentPid());
  return 0;
}
