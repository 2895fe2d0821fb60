// Workers killed, stopped, added and taken away under a test's own agent: real processes, real
// signals.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "longrun/rank_lines.h"
#include "training/test_fleet.h"

namespace longrun::training {
namespace {

constexpr int64_t kSteps = 150;
const char kNoCheckpoints[] = "checkpoint: {every: 1000000}\n";

class Recovery : public testing::Test {
 protected:
  void SetUp() override {
    const char* bin = getenv("LONGRUN_BIN");
    ASSERT_NE(bin, nullptr) << "LONGRUN_BIN should name the folder of the programs";
    worker_ = std::string(bin) + "/longrun-worker";
    char folder[] = "/tmp/recovery_test.XXXXXX";
    folder_ = mkdtemp(folder);
    std::string text;
    for (int i = 0; i < 400; ++i) {
      text += "A man of " + std::to_string(i * 37 % 101) + " years walks to the " +
              (i % 3 == 0 ? "sea" : "hills") + " and thinks of " + std::to_string(i % 17) +
              " things.\n%\n";
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/text", text).ok());
  }
  void TearDown() override {
    fleet_.reset();
    if (HasFailure()) {
      GTEST_LOG_(INFO) << "the workers' logs are in " << folder_;
      return;
    }
    std::filesystem::remove_all(folder_);
  }

  std::string Config(const std::string& more, int64_t steps = kSteps) {
    return "model: {layers: 2, heads: 2, d_model: 32, context: 16}\n"
           "data: {text: [" +
           folder_ +
           "/text], vocab_size: 300, validation_fraction: 0.1}\n"
           "schedule: {lr: 0.01, decay_steps: 1000}\n"
           "batch: 12\n"
           "evaluate_every: 0\n"
           "sample: {tokens: 0}\n"
           "steps: " +
           std::to_string(steps) + "\n" + more;
  }
  // Starts `count` members in a fresh run folder and returns them.
  std::vector<int64_t> StartFleet(int count, const std::string& config) {
    const std::string folder = folder_ + "/" + std::to_string(++runs_);
    std::filesystem::create_directory(folder);
    fleet_ = std::make_unique<TestFleet>(worker_, folder, config);
    std::vector<int64_t> members;
    for (int i = 0; i < count; ++i) members.push_back(fleet_->Start());
    return members;
  }
  // The losses of a run of three ranks that nothing happens to. How often it writes checkpoints
  // does not matter, so all tests share one.
  const std::map<int64_t, double>& Undisturbed() {
    static std::map<int64_t, double> losses;
    if (losses.empty()) {
      const std::vector<int64_t> members = StartFleet(3, Config(kNoCheckpoints));
      fleet_->SetGang(members);
      EXPECT_TRUE(fleet_->WaitFinished());
      losses = fleet_->losses();
      EXPECT_EQ(losses.size(), static_cast<size_t>(kSteps));
    }
    return losses;
  }
  void ExpectSameLosses(const std::map<int64_t, double>& expected) {
    EXPECT_EQ(fleet_->losses(), expected);
    EXPECT_EQ(fleet_->disagreements(), 0);
    EXPECT_TRUE(fleet_->metrics().contains("validation_loss"));
  }
  void ExpectCloseLosses(const std::map<int64_t, double>& expected) {
    const auto losses = fleet_->losses();
    ASSERT_EQ(losses.size(), expected.size());
    for (const auto& [step, loss] : expected) EXPECT_NEAR(losses.at(step), loss, 1e-5) << step;
  }

  std::string worker_, folder_;
  int runs_ = 0;
  std::unique_ptr<TestFleet> fleet_;
};

TEST_F(Recovery, LossesAfterKillsAreBitwiseThoseWithoutAny) {
  const auto& expected = Undisturbed();
  std::vector<int64_t> gang = StartFleet(5, Config(kNoCheckpoints));
  int64_t spare = 3;
  const std::vector<int64_t> all = std::exchange(gang, {gang[0], gang[1], gang[2]});
  fleet_->SetGang(gang);
  // Once the rank that hosts the rendezvous, once another.
  for (const auto& [place, step] : {std::pair{0, 20}, std::pair{2, 70}}) {
    ASSERT_TRUE(fleet_->WaitCommitted(step));
    fleet_->Kill(gang[place]);
    gang[place] = all[spare++];
    fleet_->SetGang(gang);
    ASSERT_TRUE(fleet_->WaitCommitted(step + 1));
    EXPECT_EQ(fleet_->member(gang[place]).source, "peer");
    EXPECT_EQ(fleet_->member(gang[1]).source, "own");
  }
  ASSERT_TRUE(fleet_->WaitFinished());
  ExpectSameLosses(expected);
}

TEST_F(Recovery, TwoKilledAtOnceAndOneDuringRecovery) {
  const auto& expected = Undisturbed();
  const std::vector<int64_t> all = StartFleet(6, Config(kNoCheckpoints));
  fleet_->SetGang({all[0], all[1], all[2]});
  ASSERT_TRUE(fleet_->WaitCommitted(30));
  fleet_->Signal(all[1], SIGKILL);
  fleet_->Kill(all[0]);
  // The replacement of rank 0, on whom the others wait, dies before it can serve them.
  fleet_->Signal(all[3], SIGSTOP);
  fleet_->SetGang({all[3], all[4], all[2]});
  fleet_->Kill(all[3]);
  fleet_->SetGang({all[5], all[4], all[2]});
  ASSERT_TRUE(fleet_->WaitFinished());
  ExpectSameLosses(expected);
}

TEST_F(Recovery, AHungRankDoesNotBlockTheOthers) {
  const auto& expected = Undisturbed();
  const std::vector<int64_t> all = StartFleet(4, Config(kNoCheckpoints));
  fleet_->SetGang({all[0], all[1], all[2]});
  ASSERT_TRUE(fleet_->WaitCommitted(30));
  fleet_->Signal(all[0], SIGSTOP);
  EXPECT_TRUE(fleet_->WaitWaiting(all[1]));
  EXPECT_TRUE(fleet_->WaitWaiting(all[2]));
  EXPECT_EQ(fleet_->member(all[0]).waiting, -1);
  // Its sockets stay open: only the membership tells the others to go on without it.
  fleet_->SetGang({all[3], all[1], all[2]});
  ASSERT_TRUE(fleet_->WaitFinished());
  ExpectSameLosses(expected);
}

TEST_F(Recovery, ShrinksAndGrowsBack) {
  const auto& expected = Undisturbed();
  const std::vector<int64_t> all = StartFleet(4, Config(kNoCheckpoints));
  fleet_->SetGang({all[0], all[1], all[2]});
  ASSERT_TRUE(fleet_->WaitCommitted(30));
  fleet_->Kill(all[1]);
  fleet_->SetGang({all[0], all[2]});
  ASSERT_TRUE(fleet_->WaitCommitted(60));
  fleet_->SetGang({all[0]});
  ASSERT_TRUE(fleet_->WaitCommitted(80));
  fleet_->SetGang({all[0], all[2], all[3]});
  ASSERT_TRUE(fleet_->WaitFinished());
  ExpectCloseLosses(expected);
}

TEST_F(Recovery, AllKilledGoOnFromTheNewestCheckpoint) {
  const std::string config = Config("checkpoint: {every: 20, keep: 2}\n");
  const auto& expected = Undisturbed();
  std::vector<int64_t> all = StartFleet(3, config);
  fleet_->SetGang(all);
  ASSERT_TRUE(fleet_->WaitCheckpoint());
  for (const int64_t member : all) fleet_->Signal(member, SIGKILL);
  for (const int64_t member : all) fleet_->Kill(member);
  all = {fleet_->Start(), fleet_->Start(), fleet_->Start()};
  fleet_->SetGang(all);
  ASSERT_TRUE(fleet_->WaitCommitted(1));
  EXPECT_EQ(fleet_->member(all[0]).source, "checkpoint");
  EXPECT_EQ(fleet_->member(all[1]).source, "checkpoint");
  EXPECT_GE(fleet_->member(all[1]).joined_step, 20);
  EXPECT_EQ(fleet_->member(all[1]).joined_step % 20, 0);
  ASSERT_TRUE(fleet_->WaitFinished());
  ExpectSameLosses(expected);
}

TEST_F(Recovery, ADamagedCheckpointIsPassedOverForTheOneBefore) {
  const std::string config = Config("checkpoint: {every: 20, keep: 3}\n");
  std::vector<int64_t> all = StartFleet(2, config);
  fleet_->SetGang(all);
  ASSERT_TRUE(fleet_->WaitFinished());
  const auto expected = fleet_->losses();
  namespace fs = std::filesystem;
  const std::set<int64_t> steps = fleet_->checkpoints();
  ASSERT_GE(steps.size(), 3u);
  const auto name = [](int64_t step) {
    const std::string digits = std::to_string(step);
    return "step-" + std::string(9 - digits.size(), '0') + digits;
  };
  const auto shard = [&](int64_t step) {
    return fleet_->folder() + "/checkpoints/" + name(step) + "/shard-00001-of-00002.safetensors";
  };
  // The newest is cut, the one before has a bit turned.
  auto step = steps.rbegin();
  fs::resize_file(shard(*step), fs::file_size(shard(*step)) - 100);
  const std::string turned = shard(*++step);
  auto content = ReadFile(turned);
  ASSERT_TRUE(content.ok());
  (*content)[content->size() / 2] ^= 4;
  ASSERT_TRUE(WriteFileAtomically(turned, *content).ok());
  const int64_t whole = *++step;
  // Other sizes of the gang read the same files.
  all = {fleet_->Start(), fleet_->Start(), fleet_->Start()};
  fleet_->SetGang(all);
  ASSERT_TRUE(fleet_->WaitFinished());
  EXPECT_EQ(fleet_->member(all[2]).source, "checkpoint");
  EXPECT_EQ(fleet_->member(all[2]).joined_step, whole);
  EXPECT_THAT(fleet_->says(),
              testing::Contains(testing::AllOf(testing::HasSubstr(name(*steps.rbegin())),
                                               testing::HasSubstr("passed over"))));
  EXPECT_THAT(fleet_->says(), testing::Contains(testing::AllOf(
                                  testing::HasSubstr(turned.substr(0, turned.rfind('/'))),
                                  testing::HasSubstr("checksum"))));
}

TEST_F(Recovery, AStopSavesACheckpointAndEndsInOrder) {
  const std::string config = Config(kNoCheckpoints, 1000000);
  std::vector<int64_t> all = StartFleet(3, config);
  fleet_->SetGang({all[0], all[1]});
  ASSERT_TRUE(fleet_->WaitCommitted(20));
  fleet_->Tell(all[1], FormatRankMessage(RankStop{"enough"}));
  ASSERT_TRUE(fleet_->WaitFinished());
  ASSERT_EQ(fleet_->checkpoints().size(), 1u);
  EXPECT_GE(*fleet_->checkpoints().begin(), 20);
  // The spare, which is in no gang, ends at once.
  ASSERT_TRUE(fleet_->WaitHello(all[2]));
  fleet_->Signal(all[2], SIGTERM);
  EXPECT_TRUE(fleet_->WaitExited(all[2], 0));
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

TEST_F(Recovery, ALaunchersVariablesMakeAGangThatResumesWhenStartedAgain) {
  const std::string config = folder_ + "/plain.yaml";
  const auto run = [&](int64_t steps) {
    EXPECT_TRUE(WriteFileAtomically(config, Config("checkpoint: {every: 50}\n", steps)).ok());
    const std::string command =
        "cd " + folder_ + " && export LOCAL_WORLD_SIZE=64 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 " +
        "MASTER_PORT=" + std::to_string(FreePort()) + "; (RANK=1 " + worker_ +
        " train --config plain.yaml --run-dir plain 2> 1.log && touch one.done) & RANK=0 " +
        worker_ + " train --config plain.yaml --run-dir plain 2> 0.log && wait && test -e one.done";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return ReadFile(folder_ + "/0.log").value();
  };
  EXPECT_THAT(run(100),
              testing::AllOf(testing::HasSubstr("step 1 "), testing::HasSubstr("step 100 "),
                             testing::HasSubstr("model saved")));
  // Steps are not part of what a checkpoint must agree with: the run is taken further.
  EXPECT_THAT(run(120), testing::AllOf(testing::HasSubstr("resumed at step 100"),
                                       testing::HasSubstr("step 120 "),
                                       testing::Not(testing::HasSubstr("step 99 "))));
}

TEST_F(Recovery, WhatTryingAgainWouldNotMendEndsWithItsOwnCode) {
  const auto code = [&](const std::string& arguments) {
    const int status = std::system((worker_ + " " + arguments + " 2> " + folder_ + "/err").c_str());
    return WEXITSTATUS(status);
  };
  const std::string config = folder_ + "/no-text.yaml";
  ASSERT_TRUE(WriteFileAtomically(config, "data: {text: [" + folder_ + "/none]}\n").ok());
  EXPECT_EQ(code("train --config " + config + " --run-dir " + folder_), 78);
  EXPECT_THAT(ReadFile(folder_ + "/err").value(), testing::HasSubstr("/none"));
  EXPECT_EQ(code("train --config " + folder_ + "/absent.yaml"), 78);
  EXPECT_EQ(code("train --confg x"), 78);
}

TEST_F(Recovery, WhereNoCheckpointCanBeWrittenTrainingGoesOn) {
  // A file stands where the folder of checkpoints should be made: no shard can be written.
  const std::string config = Config("checkpoint: {every: 20}\n");
  const std::vector<int64_t> all = StartFleet(2, config);
  ASSERT_TRUE(WriteFileAtomically(fleet_->folder() + "/checkpoints", "in the way").ok());
  fleet_->SetGang(all);
  ASSERT_TRUE(fleet_->WaitFinished());
  EXPECT_TRUE(fleet_->checkpoints().empty());
  EXPECT_THAT(fleet_->says(),
              testing::Contains(testing::HasSubstr("could not be written, training goes on")));
}

}  // namespace
}  // namespace longrun::training
