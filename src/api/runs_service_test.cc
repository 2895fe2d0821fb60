// A server and its client over a real socket, in front of a control loop whose fleet is empty.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "api/client.h"
#include "api/server.h"
#include "control/memory_journal.h"
#include "engine/engine.h"

namespace longrun::api {
namespace {

using ::testing::HasSubstr;

// Nothing ever happens in it.
class EmptyFleet : public engine::Engine {
 public:
  std::vector<fleet::Event> Observe(Duration patience) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::microseconds(patience.us), [this] { return woken_; });
    woken_ = false;
    return {};
  }
  void Acknowledge(const fleet::NodeId&, uint64_t, uint64_t) override {}
  void Apply(const fleet::NodeDesired&) override {}
  absl::Status Inject(const engine::Fault&) override { return absl::OkStatus(); }
  void Expect(const std::vector<fleet::Node>&) override {}
  void Wake() override {
    std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

class RunsServiceTest : public ::testing::Test {
 protected:
  RunsServiceTest() : folder_(MakeFolderName()), control_(&journal_, &fleet_, {}) {
    EXPECT_TRUE(control_.Start({.version = "test", .pid = 1}).ok());
    auto server = Server::Start({.socket = socket(), .version = "test"}, &control_, {});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<Client>(socket());
  }
  ~RunsServiceTest() override {
    server_.reset();
    control_.Stop();
    std::filesystem::remove_all(folder_);
  }

  static std::string MakeFolderName() {
    char pattern[] = "/tmp/longrun-api-test.XXXXXX";
    return ::mkdtemp(pattern);
  }
  std::string socket() const { return folder_ + "/control.sock"; }

  static v1::SubmitRequest Request(const std::string& name) {
    v1::SubmitRequest request;
    request.set_manifest("apiVersion: longrun.dev/v1\nkind: Run\nmetadata: {name: " + name +
                         "}\nspec: {command: [a], workingFolder: sub}\n");
    request.set_manifest_name("job.yaml");
    request.set_working_folder("/data");
    return request;
  }

  const std::string folder_;
  control::MemoryJournal journal_;
  EmptyFleet fleet_;
  control::Service control_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(RunsServiceTest, SubmitsShowsAndCancels) {
  EXPECT_EQ(client_->Submit(Request("job"))->run(), "job");
  const auto status = client_->Status("job", Duration::Seconds(10));
  ASSERT_TRUE(status.ok()) << status.status();
  ASSERT_EQ(status->runs_size(), 1);
  EXPECT_EQ(status->runs(0).phase(), "pending");
  EXPECT_EQ(status->controller_version(), "test");
  control_.Read([](const fleet::State& state) {
    EXPECT_EQ(state.FindRun(fleet::RunId("job"))->spec.working_folder, "/data/sub");
  });
  EXPECT_TRUE(client_->Cancel("job", "enough").ok());
  std::string last;
  EXPECT_TRUE(client_
                  ->Watch("job",
                          [&](const v1::RunView& view) {
                            last = view.phase();
                            return true;
                          })
                  .ok());
  EXPECT_EQ(last, "cancelled");
}

TEST_F(RunsServiceTest, NamesInUseAreRefusedOrNumbered) {
  ASSERT_TRUE(client_->Submit(Request("job")).ok());
  EXPECT_EQ(client_->Submit(Request("job")).status().code(), absl::StatusCode::kAlreadyExists);
  v1::SubmitRequest another = Request("job");
  another.set_unique_name(true);
  EXPECT_EQ(client_->Submit(another)->run(), "job-2");
  v1::SubmitRequest named = Request("job");
  named.set_name("other");
  EXPECT_EQ(client_->Submit(named)->run(), "other");
  named.set_name("../etc");
  EXPECT_EQ(client_->Submit(named).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RunsServiceTest, MistakesComeBackWithTheirLines) {
  v1::SubmitRequest request = Request("job");
  request.set_manifest("kind: Rum\n");
  const absl::Status status = client_->Submit(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("job.yaml:1: kind: Rum is none of Run"));
}

TEST_F(RunsServiceTest, UnknownRunsAreAnsweredWithTheNearest) {
  ASSERT_TRUE(client_->Submit(Request("job")).ok());
  const absl::Status all[] = {client_->Status("jbo", Duration::Seconds(10)).status(),
                              client_->Cancel("jbo", ""),
                              client_->Watch("jbo", [](const v1::RunView&) { return true; })};
  for (const absl::Status& status : all) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr("did you mean \"job\"?"));
  }
}

TEST_F(RunsServiceTest, WatchesEndWithTheServer) {
  ASSERT_TRUE(client_->Submit(Request("job")).ok());
  std::atomic<int> views{0};
  absl::Status status;
  std::thread watcher([&] {
    status = client_->Watch("job", [&](const v1::RunView&) {
      ++views;
      views.notify_all();
      return true;
    });
  });
  views.wait(0);
  server_->StopWatches();
  watcher.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(RunsServiceTest, AskingForTheEndIsHeard) {
  EXPECT_FALSE(server_->shutdown_requested());
  EXPECT_TRUE(client_->Shutdown(false).ok());
  EXPECT_TRUE(server_->shutdown_requested());
  EXPECT_FALSE(server_->kill_requested());
  EXPECT_TRUE(client_->Shutdown(true).ok());
  EXPECT_TRUE(server_->kill_requested());
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// Takes one connection on `path` and hands it on to `target` after `delay`: a controller that gets
// no processor for a while.
void RelayLate(int listener, const std::string& target, std::chrono::milliseconds delay) {
  const int near = accept(listener, nullptr, nullptr);
  std::this_thread::sleep_for(delay);
  const int far = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_un address = AddressOf(target);
  ASSERT_EQ(connect(far, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  char buffer[4096];
  for (bool open = true; open;) {
    pollfd both[] = {{near, POLLIN, 0}, {far, POLLIN, 0}};
    poll(both, 2, -1);
    for (int i = 0; i < 2 && open; ++i) {
      if (both[i].revents == 0) continue;
      const ssize_t got = read(both[i].fd, buffer, sizeof buffer);
      open = got > 0 && write(both[1 - i].fd, buffer, static_cast<size_t>(got)) == got;
    }
  }
  close(near);
  close(far);
}

TEST_F(RunsServiceTest, AControllerThatIsSlowToShakeHandsIsWaitedFor) {
  const std::string path = folder_ + "/slow.sock";
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_un address = AddressOf(path);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  // One connection alone is served: a client that gave it up would never get through.
  std::thread relay([&] { RelayLate(listener, socket(), std::chrono::milliseconds(700)); });
  {
    Client client(path);
    EXPECT_TRUE(client.Status("", Duration::Seconds(20)).ok());
  }
  relay.join();
  close(listener);
}

TEST_F(RunsServiceTest, AWatchTriedAgainAndAgainFindsTheNextController) {
  ASSERT_TRUE(client_->Submit(Request("job")).ok());
  const auto watch = [&] {
    return client_->Watch("job", [](const v1::RunView&) { return false; });
  };
  ASSERT_TRUE(watch().ok());
  for (int round = 0; round < 5; ++round) {
    server_.reset();
    EXPECT_TRUE(absl::IsUnavailable(watch()));
    auto server = Server::Start({.socket = socket(), .version = "test"}, &control_, {});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    int tries = 1;
    for (; !watch().ok() && tries < 40; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    EXPECT_LT(tries, 40) << "round " << round;
  }
}

TEST_F(RunsServiceTest, ASocketInUseIsLeftAlone) {
  EXPECT_TRUE(Answers(socket()));
  EXPECT_FALSE(Answers(folder_ + "/none"));
  const auto second = Server::Start({.socket = socket(), .version = "test"}, &control_, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(client_->Status("", Duration::Seconds(10)).ok());
  const auto too_long =
      Server::Start({.socket = folder_ + std::string(200, 'x'), .version = ""}, &control_, {});
  EXPECT_EQ(too_long.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace longrun::api
