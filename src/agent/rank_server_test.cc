#include "agent/rank_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"

namespace longrun::agent {
namespace {

const MemberKey kSeventeen{fleet::RunId("run"), 17};

class RankServerTest : public testing::Test {
 protected:
  RankServerTest()
      : server_(&loop_, {[this](int pid) { return pid == ::getpid() ? who_ : std::nullopt; },
                         [this](const MemberKey& key) { hellos_.push_back(key); },
                         [this](const fleet::EventBody& fact) { facts_.push_back(fact); }}) {}

  void SetUp() override {
    char folder[] = "/tmp/longrun-rank-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    ASSERT_TRUE(server_.Listen(folder_ + "/rank.sock").ok());
  }
  void TearDown() override {
    for (const int fd : clients_) ::close(fd);
    std::filesystem::remove_all(folder_);
  }

  int Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/rank.sock", folder_.c_str());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    clients_.push_back(fd);
    return fd;
  }
  // Writes all, letting the server read meanwhile; false when it hung up.
  bool Say(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return false;
      if (n > 0) text.remove_prefix(static_cast<size_t>(n));
      Turn();
    }
    Turn();
    return true;
  }
  void Turn(Duration time = Duration::Millis(5)) {
    loop_.After(time, [this] { loop_.Stop(); });
    loop_.Run();
  }
  std::string Hear(int fd) {
    Turn();
    char bytes[65536];
    const ssize_t n = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0) return "(closed)";
    return n < 0 ? "" : std::string(bytes, static_cast<size_t>(n));
  }
  template <class T>
  std::vector<T> All() {
    std::vector<T> all;
    for (const auto& fact : facts_) {
      if (const T* body = std::get_if<T>(&fact)) all.push_back(*body);
    }
    return all;
  }

  std::string folder_;
  EventLoop loop_;
  std::optional<MemberKey> who_ = kSeventeen;
  std::vector<MemberKey> hellos_;
  std::vector<fleet::EventBody> facts_;
  std::vector<int> clients_;
  RankServer server_;
};

TEST_F(RankServerTest, EveryLineOfTheProtocolBecomesItsFact) {
  const int fd = Connect();
  ASSERT_TRUE(Say(fd,
                  "hello v=1 member=17 pid=4242 endpoint=127.0.0.1:40123 step=5\n"
                  "joined incarnation=3 step=120 source=peer seconds=0.08\n"
                  "commit incarnation=3 step=121 loss=3.25 tokens=49152 seconds=0.21\n"
                  "waiting incarnation=3 step=7\n"
                  "broken incarnation=3 what=peer%20closed\n"
                  "checkpoint step=100 seconds=0.4 stall=0.01\n"
                  "metric name=validation_loss value=3.4 step=200\n"
                  "say text=model%20saved\n"
                  "pong n=7 phase=compute step=121\n"
                  "something-newer key=value\n"));
  ASSERT_EQ(facts_.size(), 8u);
  ASSERT_EQ(hellos_.size(), 1u);
  const auto ready = All<fleet::MemberReady>().at(0);
  EXPECT_EQ(ready.endpoint, "127.0.0.1:40123");
  EXPECT_EQ(ready.step, 5);
  EXPECT_EQ(ready.member, 17);
  EXPECT_EQ(ready.run.text, "run");
  const auto joined = All<fleet::MemberJoined>().at(0);
  EXPECT_EQ(joined.incarnation, 3u);
  EXPECT_EQ(joined.source, "peer");
  EXPECT_DOUBLE_EQ(joined.seconds, 0.08);
  const auto commit = All<fleet::MemberCommitted>().at(0);
  EXPECT_EQ(commit.step, 121);
  EXPECT_DOUBLE_EQ(commit.loss, 3.25);
  EXPECT_EQ(commit.tokens, 49152);
  EXPECT_EQ(All<fleet::MemberWaiting>().at(0).step, 7);
  EXPECT_EQ(All<fleet::MemberBroken>().at(0).what, "peer closed");
  EXPECT_DOUBLE_EQ(All<fleet::CheckpointPublished>().at(0).stall_seconds, 0.01);
  EXPECT_DOUBLE_EQ(All<fleet::MetricReported>().at(0).value, 3.4);
  EXPECT_EQ(All<fleet::MemberSaid>().at(0).text, "model saved");
}

TEST_F(RankServerTest, OnlyTheMembersOwnProcessesSpeakForIt) {
  const int other = Connect();
  Say(other, "hello v=1 member=18\ncommit incarnation=1 step=1\n");
  EXPECT_EQ(Hear(other), "(closed)");
  who_ = std::nullopt;
  const int stranger = Connect();
  Say(stranger, "hello v=1 member=17\n");
  EXPECT_EQ(Hear(stranger), "(closed)");
  EXPECT_TRUE(facts_.empty());
}

TEST_F(RankServerTest, NothingIsHeardBeforeTheHello) {
  const int fd = Connect();
  Say(fd, "commit incarnation=1 step=1\nsay text=hi\n");
  EXPECT_TRUE(facts_.empty());
  Say(fd, "hello v=1 member=17\n");
  EXPECT_EQ(facts_.size(), 1u);
}

TEST_F(RankServerTest, NonsenseIsPassedOverAndWhatFollowsIsHeard) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\n");
  Random random(1);
  std::string noise;
  for (int i = 0; i < 20000; ++i) noise.push_back(static_cast<char>(random.Below(256)));
  ASSERT_TRUE(Say(fd, noise + "\n"));
  facts_.clear();
  for (const char* line :
       {"commit", "commit incarnation=x step=1", "commit incarnation=-1 step=1",
        "commit incarnation=1 step=-5", "commit incarnation=1 step=99999999999999999999",
        "commit incarnation=1 step=1 step=2", "joined incarnation=1", "say", "metric name=x",
        "commit  incarnation=1 step=1", "=", " ", "say text=%", "say text=%zz",
        "hello v=1 member=99999999999999999999", "commit incarnation=1 step=1 tokens=-1"}) {
    ASSERT_TRUE(Say(fd, std::string(line) + "\n")) << line;
    EXPECT_TRUE(facts_.empty()) << line;
  }
  ASSERT_TRUE(Say(fd, "say text=still%20here\n"));
  EXPECT_EQ(All<fleet::MemberSaid>().size(), 1u);
}

TEST_F(RankServerTest, AnEndlessLineIsDroppedAndTheNextOneHeard) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\n");
  ASSERT_TRUE(Say(fd, "say text=" + std::string(3 << 20, 'x')));
  ASSERT_TRUE(Say(fd, "xxx\nsay text=next\n"));
  const auto said = All<fleet::MemberSaid>();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].text, "next");
}

TEST_F(RankServerTest, TextIsMadeFitForTheJournal) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17 endpoint=" + std::string(5000, 'e') + "\n");
  EXPECT_LE(All<fleet::MemberReady>().at(0).endpoint.size(), 256u);
  Say(fd, "say text=%1B[2J%FF%0Aend" + std::string(100000, 'y') + "\n");
  const auto said = All<fleet::MemberSaid>();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_TRUE(said[0].text.starts_with("?[2J?\nendyyy")) << said[0].text.substr(0, 20);
  EXPECT_LE(said[0].text.size(), 4096u);
  Say(fd, "commit incarnation=1 step=1 loss=nan seconds=inf\n");
  EXPECT_TRUE(std::isnan(All<fleet::MemberCommitted>().at(0).loss));
  EXPECT_EQ(All<fleet::MemberCommitted>().at(0).seconds, 0);
}

TEST_F(RankServerTest, TheNewestConnectionIsTheOneInUse) {
  const int old_one = Connect();
  Say(old_one, "hello v=1 member=17\n");
  ASSERT_TRUE(::send(old_one, "say text=last%20words\n", 22, 0) == 22);
  const int new_one = Connect();
  Say(new_one, "hello v=1 member=17\n");
  EXPECT_EQ(All<fleet::MemberSaid>().size(), 1u) << "what the old one had said was lost";
  EXPECT_EQ(Hear(new_one), "ping n=2\n");
  server_.Send(kSeventeen, "stop reason=x\n");
  EXPECT_EQ(Hear(new_one), "stop reason=x\n");
  EXPECT_EQ(Hear(old_one), "ping n=1\n");
  EXPECT_EQ(Hear(old_one), "(closed)");
}

TEST_F(RankServerTest, DrainTakesWhatADeadMemberHadSaidEvenItsHello) {
  const int fd = Connect();
  const std::string all = "hello v=1 member=17\njoined incarnation=1 step=0\nsay text=bye\n";
  ASSERT_EQ(::send(fd, all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  ::shutdown(fd, SHUT_RDWR);
  server_.Drain(kSeventeen);
  EXPECT_EQ(facts_.size(), 3u);
}

TEST_F(RankServerTest, PingsThatAreNotAnsweredAreCounted) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\n");
  EXPECT_EQ(Hear(fd), "ping n=1\n");
  Say(fd, "pong n=1\n");
  EXPECT_EQ(server_.SilentSeconds(kSeventeen), 0);
  server_.Ping();
  EXPECT_EQ(Hear(fd), "ping n=2\n");
  Turn(Duration::Millis(30));
  EXPECT_GE(server_.SilentSeconds(kSeventeen), 0.03);
  server_.Ping();  // a second one does not make the first forgotten
  EXPECT_GE(server_.SilentSeconds(kSeventeen), 0.03);
  Say(fd, "pong n=2\n");
  EXPECT_EQ(server_.SilentSeconds(kSeventeen), 0);
  server_.Ping();
  Turn(Duration::Millis(30));
  server_.ForgivePings();
  EXPECT_EQ(server_.SilentSeconds(kSeventeen), 0);
}

TEST_F(RankServerTest, AProgramThatKnowsNoPingsIsNotTakenForHung) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\n");
  server_.Ping();
  Turn(Duration::Millis(30));
  EXPECT_EQ(server_.SilentSeconds(kSeventeen), 0);
}

TEST_F(RankServerTest, WhilePausedMembersWaitAndNothingIsLost) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\npong n=1\n");
  server_.SetPaused(true);
  Say(fd, "say text=one\n");
  Turn();
  EXPECT_TRUE(All<fleet::MemberSaid>().empty());
  server_.Ping();
  Turn(Duration::Millis(30));
  EXPECT_EQ(server_.SilentSeconds(kSeventeen), 0);
  server_.SetPaused(false);
  Turn();
  EXPECT_EQ(All<fleet::MemberSaid>().size(), 1u);
}

TEST_F(RankServerTest, AMemberThatReadsNothingIsCutOffNotWaitedFor) {
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\npong n=1\n");
  for (int i = 0; i < 100; ++i) server_.Send(kSeventeen, std::string(100'000, 'm') + "\n");
  Turn(Duration::Millis(10));
  server_.Ping();
  Turn(Duration::Millis(10));
  EXPECT_EQ(server_.SilentSeconds(kSeventeen), 0) << "still connected";
  const int again = Connect();
  Say(again, "hello v=1 member=17\n");
  EXPECT_EQ(hellos_.size(), 2u);
}

TEST_F(RankServerTest, ManyConnectionsThatSayNothingLeaveRoomForAMember) {
  for (int i = 0; i < 300; ++i) Connect();
  Turn();
  const int fd = Connect();
  Say(fd, "hello v=1 member=17\n");
  EXPECT_EQ(hellos_.size(), 1u);
}

TEST_F(RankServerTest, APathTooLongForASocketIsRefused) {
  RankServer other(&loop_, {});
  const absl::Status status = other.Listen("/tmp/" + std::string(200, 'x'));
  EXPECT_NE(std::string(status.message()).find("too long"), std::string::npos);
}

}  // namespace
}  // namespace longrun::agent
