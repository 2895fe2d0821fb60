#include "agent/members.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/process.h"
#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

using Do = fleet::DesiredMember::Do;

// Members on a loop of the test's own, with shell scripts as ranks.
class MembersTest : public testing::Test {
 protected:
  void SetUp() override {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    char folder[] = "/tmp/longrun-members-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    options_.node = "node-0";
    options_.state_folder = folder_ + "/node";
    options_.runs_folder = folder_ + "/runs";
    options_.log_file_bytes = 2000;
    ASSERT_TRUE(MakeFolder(options_.state_folder + "/members").ok());
    server_ = std::make_unique<RankServer>(
        &loop_, RankServer::Handler{[](int) { return std::nullopt; }, {}, {}});
    members_ = std::make_unique<Members>(
        &loop_, &options_, NodeFacts{"node-0", options_.state_folder + "/rank.sock", "", false},
        server_.get(), [this](const fleet::EventBody& fact) { facts_.push_back(fact); });
    loop_.Every(Duration::Millis(5), [this] {
      members_->Reap();
      members_->Check();
      if (done_ && (done_() || watch_.seconds() > 20)) loop_.Stop();
    });
  }
  void TearDown() override {
    members_.reset();
    std::filesystem::remove_all(folder_);
  }

  bool Until(std::function<bool()> done) {
    done_ = std::move(done);
    watch_.Restart();
    loop_.Run();
    return done_();
  }
  void For(double seconds) {
    Until([&] { return watch_.seconds() > seconds; });
  }

  fleet::RunSpec& Spec(const std::string& script, const std::string& run = "run") {
    fleet::RunSpec& spec = desired_.specs[fleet::RunId(run)];
    spec.name = fleet::RunId(run);
    spec.command = {"/bin/sh", "-c", script};
    spec.grace = Duration::Millis(200);
    return spec;
  }
  void Wish(const std::vector<std::pair<int64_t, Do>>& wishes) {
    desired_.members.clear();
    for (const auto& [member, action] : wishes) {
      desired_.members.push_back({.run = fleet::RunId("run"), .member = member, .action = action});
    }
    ++desired_.revision;
    members_->Apply(desired_);
  }
  template <class T>
  std::vector<T> All() const {
    std::vector<T> all;
    for (const auto& fact : facts_) {
      if (const T* body = std::get_if<T>(&fact)) all.push_back(*body);
    }
    return all;
  }
  fleet::MemberExited Exit() {
    EXPECT_TRUE(Until([&] { return !All<fleet::MemberExited>().empty(); }));
    const auto all = All<fleet::MemberExited>();
    return all.empty() ? fleet::MemberExited() : all[0];
  }
  std::string Log(const std::string& name) {
    const auto text = ReadFile(options_.runs_folder + "/run/logs/" + name);
    return text.ok() ? *text : "(" + std::string(text.status().message()) + ")";
  }

  std::string folder_;
  Options options_;
  EventLoop loop_;
  std::unique_ptr<RankServer> server_;
  std::unique_ptr<Members> members_;
  fleet::NodeDesired desired_;
  std::vector<fleet::EventBody> facts_;
  std::function<bool()> done_;
  Stopwatch watch_;
};

TEST_F(MembersTest, OutputAndErrorsGoToTheRunsFolderAndTheErrorsLastLinesToControl) {
  Spec("echo out; for i in $(seq 1 30); do echo err $i >&2; done; exit 3");
  Wish({{1, Do::kRun}});
  const fleet::MemberExited exited = Exit();
  EXPECT_EQ(exited.code, 3);
  EXPECT_EQ(exited.signal, 0);
  EXPECT_TRUE(exited.what.starts_with("err 11\n")) << exited.what;
  EXPECT_TRUE(exited.what.ends_with("\nerr 30")) << exited.what;
  EXPECT_EQ(Log("1.out"), "out\n");
  EXPECT_TRUE(Log("1.err").starts_with("err 1\nerr 2\n"));
  EXPECT_TRUE(std::filesystem::is_empty(options_.state_folder + "/members"));
}

TEST_F(MembersTest, ALoudRanksLogsAreBounded) {
  Spec("i=0; while [ $i -lt 2000 ]; do echo this is line $i; i=$((i+1)); done");
  Wish({{1, Do::kRun}});
  EXPECT_EQ(Exit().code, 0);
  EXPECT_TRUE(Log("1.out").ends_with("this is line 1999\n"));
  for (const std::string name : {"1.out", "1.out.1", "1.out.2"}) {
    EXPECT_LE(Log(name).size(), 2000u);
    EXPECT_TRUE(Log(name).starts_with("this is line "));
  }
  EXPECT_FALSE(std::filesystem::exists(options_.runs_folder + "/run/logs/1.out.3"));
}

TEST_F(MembersTest, IsStartedOnceWhateverIsSaidLateOrTwice) {
  Spec("echo x >> " + folder_ + "/starts");
  Wish({{1, Do::kRun}});
  const fleet::NodeDesired first = desired_;
  EXPECT_EQ(Exit().code, 0);
  members_->Apply(first);  // twice
  Wish({{1, Do::kRun}});   // newer, before control has heard of the end
  Wish({});                // it has
  members_->Apply(first);  // late
  For(0.1);
  EXPECT_EQ(std::filesystem::file_size(folder_ + "/starts"), 2u);
  EXPECT_EQ(All<fleet::MemberStarted>().size(), 1u);
  EXPECT_EQ(All<fleet::MemberExited>().size(), 1u);
}

TEST_F(MembersTest, WhatCannotStartIsToldWithTheReasonAndNeverAsStarted) {
  Spec("").command = {"./foo"};
  desired_.specs[fleet::RunId("run")].working_folder = folder_;
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/foo", "#!/bin/sh\n").ok());
  Wish({{1, Do::kRun}});
  const fleet::MemberExited exited = Exit();
  EXPECT_EQ(exited.code, 126);
  EXPECT_EQ(exited.what, "cannot execute ./foo: no program; chmod +x ./foo makes it one");
  EXPECT_TRUE(All<fleet::MemberStarted>().empty());
  EXPECT_TRUE(members_->empty());
}

TEST_F(MembersTest, StopAsksFirstAndKillsAfterTheGrace) {
  Spec("trap 'exit 0' TERM; touch " + folder_ + "/up; while :; do sleep 0.05; done");
  Wish({{1, Do::kRun}});
  ASSERT_TRUE(Until([&] { return std::filesystem::exists(folder_ + "/up"); }));
  Wish({{1, Do::kStop}});
  EXPECT_EQ(Exit().code, 0);

  facts_.clear();
  std::filesystem::remove(folder_ + "/up");
  Spec("trap '' TERM; touch " + folder_ + "/up; while :; do sleep 0.05; done");
  Wish({{2, Do::kRun}});
  ASSERT_TRUE(Until([&] { return std::filesystem::exists(folder_ + "/up"); }));
  Wish({{2, Do::kStop}});
  Wish({{2, Do::kStop}});  // saying it again does not lengthen the grace
  EXPECT_EQ(Exit().signal, SIGKILL);
}

TEST_F(MembersTest, KillAlsoEndsAProcessThatIsStopped) {
  Spec("exec sleep 1000");
  Wish({{1, Do::kRun}});
  ASSERT_TRUE(Until([&] { return !All<fleet::MemberStarted>().empty(); }));
  members_->Hang({fleet::RunId("run"), 1});
  ASSERT_TRUE(Until([&] {
    const auto info = ReadProcess(static_cast<int>(All<fleet::MemberStarted>()[0].pid));
    return info && info->state == 'T';
  }));
  Wish({{1, Do::kKill}});
  EXPECT_EQ(Exit().signal, SIGKILL);
}

TEST_F(MembersTest, MembersOfDifferentRunsWithTheSameNumberAreDifferent) {
  Spec("exit 3", "run");
  Spec("exit 4", "other");
  desired_.members = {{.run = fleet::RunId("run"), .member = 1},
                      {.run = fleet::RunId("other"), .member = 1}};
  desired_.revision = 1;
  members_->Apply(desired_);
  ASSERT_TRUE(Until([&] { return All<fleet::MemberExited>().size() == 2; }));
  for (const auto& exited : All<fleet::MemberExited>()) {
    EXPECT_EQ(exited.code, exited.run.text == "run" ? 3 : 4);
  }
}

TEST_F(MembersTest, AProcessIsKnownByItsTree) {
  Spec("sleep 1000 & wait");
  Wish({{1, Do::kRun}});
  ASSERT_TRUE(Until([&] { return !All<fleet::MemberStarted>().empty(); }));
  const int leader = static_cast<int>(All<fleet::MemberStarted>()[0].pid);
  int child = -1;
  ASSERT_TRUE(Until([&] {
    for (const ProcessInfo& process : AllProcesses()) {
      if (process.parent == leader) child = process.pid;
    }
    return child > 0;
  }));
  const MemberKey key{fleet::RunId("run"), 1};
  EXPECT_EQ(members_->Identify(leader), key);
  EXPECT_EQ(members_->Identify(child), key);
  EXPECT_EQ(members_->Identify(::getpid()), std::nullopt);
  EXPECT_EQ(members_->Identify(1), std::nullopt);
}

TEST_F(MembersTest, AFloodOfOutputDoesNotDelayTheNewsOfAnEnd) {
  Spec("yes", "run");
  Spec("sleep 0.1; exit 9", "other");
  desired_.members = {{.run = fleet::RunId("run"), .member = 1},
                      {.run = fleet::RunId("other"), .member = 1}};
  desired_.revision = 1;
  members_->Apply(desired_);
  EXPECT_EQ(Exit().code, 9);
}

}  // namespace
}  // namespace longrun::agent
