#include "longrun/rank.h"

#include <sys/stat.h>

#include <cmath>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longrun {
namespace {

using std::chrono::milliseconds;

template <class M>
M Parse(const std::string& text) {
  RankLine line;
  std::string why;
  M message;
  const std::string_view body = std::string_view(text).substr(0, text.size() - 1);
  EXPECT_TRUE(ParseRankLine(body, &line, &why)) << why;
  EXPECT_EQ(line.verb, M::kVerb);
  EXPECT_TRUE(ParseRankMessage(line, &message, &why)) << why << " in " << text;
  return message;
}

bool Refused(std::string_view text, std::string* why) {
  RankLine line;
  if (!ParseRankLine(text, &line, why)) return true;
  if (line.verb == "membership") {
    RankMembership m;
    return !ParseRankMessage(line, &m, why) || !CheckRankMembership(m, why);
  }
  RankCommit commit;
  return line.verb == "commit" && !ParseRankMessage(line, &commit, why);
}

TEST(RankLines, TheDocumentedLinesAreWhatIsWritten) {
  EXPECT_EQ(FormatRankMessage(RankHello{1, 17, 4242, "127.0.0.1:40123", 0}),
            "hello v=1 member=17 pid=4242 endpoint=127.0.0.1:40123 step=0\n");
  EXPECT_EQ(FormatRankMessage(RankJoined{3, 120, "peer", 0.08}),
            "joined incarnation=3 step=120 source=peer seconds=0.08\n");
  EXPECT_EQ(FormatRankMessage(RankCommit{3, 121, 3.25, 49152, 0.21}),
            "commit incarnation=3 step=121 loss=3.25 tokens=49152 seconds=0.21\n");
  RankMembership m{3, 1, 2, 4, {11, 12}, {"h:1", "h:2"}};
  EXPECT_EQ(FormatRankMessage(m),
            "membership incarnation=3 rank=1 world=2 full=4 members=11,12 endpoints=h:1,h:2\n");
}

TEST(RankLines, TextComesBackWhateverItHolds) {
  std::string every;
  for (int c = 0; c < 256; ++c) every.push_back(static_cast<char>(c));
  const std::string line = FormatRankMessage(RankSay{every});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(Parse<RankSay>(line).text, every);
  EXPECT_EQ(Parse<RankSay>(FormatRankMessage(RankSay{""})).text, "");
}

TEST(RankLines, ListItemsKeepTheirCommas) {
  const RankMembership m{1, 0, 3, 3, {1, 2, 3}, {"a,b:1", "", "%2C c"}};
  EXPECT_EQ(Parse<RankMembership>(FormatRankMessage(m)).endpoints, m.endpoints);
}

TEST(RankLines, NumbersComeBackExactly) {
  for (const double loss : {0.1, 1e-310, 1.7976931348623157e308, -0.0, 3.25}) {
    const RankCommit c = Parse<RankCommit>(FormatRankMessage(RankCommit{1, 2, loss, 3, 0.1}));
    EXPECT_EQ(c.loss, loss);
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(Parse<RankCommit>(FormatRankMessage(RankCommit{1, 2, nan, 3, 0.1})).loss));
  const int64_t big = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Parse<RankDone>(FormatRankMessage(RankDone{big})).step, big);
}

TEST(RankLines, AnOverlongTextIsCutToALineThatParses) {
  const std::string line = FormatRankMessage(RankSay{std::string(kRankLineLimit, '\t')});
  EXPECT_LE(line.size(), kRankLineLimit);
  EXPECT_GT(Parse<RankSay>(line).text.size(), kRankLineLimit / 4);
}

TEST(RankLines, UnknownKeysAreIgnored) {
  EXPECT_EQ(Parse<RankCommit>("commit shiny=1 incarnation=3 step=4 loss=1\n").step, 4);
}

TEST(RankLines, HostileLinesAreRefusedWithAReason) {
  for (const char* text : {"",
                           " ",
                           "commit",
                           "commit incarnation=1 loss=2",
                           "commit incarnation=x step=2 loss=1",
                           "commit incarnation=1 step=99999999999999999999 loss=1",
                           "commit incarnation=1 step=2 loss=1 loss=2",
                           "commit  incarnation=1 step=2 loss=1",
                           "commit incarnation=1 step=2 loss=",
                           "commit incarnation= step=2 loss=1",
                           "commit incarnation=1 step=2 loss=1 tokens=1.5",
                           "commit =1",
                           "commit step",
                           "commit\tincarnation=1",
                           "commit incarnation=1 step=2 loss=1\r",
                           "membership incarnation=1 rank=2 world=2 members=1,2 endpoints=a,b",
                           "membership incarnation=1 rank=0 world=2 members=1,1 endpoints=a,b",
                           "membership incarnation=1 rank=0 world=2 members=1 endpoints=a,b",
                           "membership incarnation=1 rank=0 world=2 members=1,2 endpoints=a",
                           "membership incarnation=1 rank=0 world=0 members= endpoints=",
                           "membership incarnation=-1 rank=0 world=1 members=1 endpoints=a",
                           "membership incarnation=1 rank=-2 world=1 members=1 endpoints=a",
                           "membership incarnation=1 rank=0 world=1 members=1, endpoints=a",
                           "membership incarnation=1 rank=0 world=1 members=1 endpoints=%2"}) {
    std::string why;
    EXPECT_TRUE(Refused(text, &why)) << text;
    EXPECT_FALSE(why.empty()) << text;
  }
}

TEST(RankLines, WhatParsesIsStableUnderFormatting) {
  std::mt19937_64 random(7);
  const std::string alphabet = "membership incarnation=3,%20\n\x01rankworldfulls:.-e+inf";
  const std::string seed = FormatRankMessage(RankMembership{3, 1, 2, 4, {11, 12}, {"h:1", "h:2"}});
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seed.substr(0, seed.size() - 1);
    for (int edits = static_cast<int>(random() % 4); edits >= 0; --edits) {
      text[random() % text.size()] = alphabet[random() % alphabet.size()];
    }
    RankLine line;
    std::string why;
    RankMembership m;
    if (!ParseRankLine(text, &line, &why) || !ParseRankMessage(line, &m, &why)) continue;
    ++parsed;
    const RankMembership again = Parse<RankMembership>(FormatRankMessage(m));
    EXPECT_EQ(again.members, m.members);
    EXPECT_EQ(again.endpoints, m.endpoints);
    EXPECT_EQ(FormatRankMessage(again), FormatRankMessage(m));
  }
  EXPECT_GT(parsed, 100);
}

TEST(RankLineBuffer, CutsAStreamHoweverItArrives) {
  RankLineBuffer buffer;
  std::vector<std::string> lines;
  for (const char c : std::string("one\ntwo a=b\n\nthree")) {
    buffer.Append(std::string_view(&c, 1));
    std::string_view line;
    while (buffer.Next(&line)) lines.emplace_back(line);
  }
  EXPECT_THAT(lines, testing::ElementsAre("one", "two a=b", ""));
}

TEST(RankLineBuffer, DropsAnEndlessLineWithoutKeepingIt) {
  RankLineBuffer buffer;
  std::string_view line;
  const std::string flood(kRankLineLimit / 2, 'x');
  for (int i = 0; i < 9; ++i) {
    buffer.Append(flood);
    EXPECT_FALSE(buffer.Next(&line));
  }
  buffer.Append("\nnext\n");
  ASSERT_TRUE(buffer.Next(&line));
  EXPECT_EQ(line, "next");
  EXPECT_EQ(buffer.dropped(), 1);
}

// The agent's end: accepts one connection at a time and hands out lines.
class FakeAgent {
 public:
  FakeAgent() {
    char folder[] = "/tmp/rank_test.XXXXXX";
    folder_ = mkdtemp(folder);
    path_ = folder_ + "/s";
    Listen();
  }
  ~FakeAgent() {
    Drop();
    StopListening();
    rmdir(folder_.c_str());
  }
  void Listen() {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener_, 8), 0);
  }
  void StopListening() {
    close(listener_);
    unlink(path_.c_str());
  }
  void Accept() {
    fd_ = accept(listener_, nullptr, nullptr);
    ASSERT_GE(fd_, 0);
    buffer_ = RankLineBuffer();
  }
  void Drop() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  std::string Line() {
    std::string_view line;
    while (!buffer_.Next(&line)) {
      char bytes[4096];
      const ssize_t n = read(fd_, bytes, sizeof bytes);
      if (n <= 0) return "(end)";
      buffer_.Append(std::string_view(bytes, static_cast<size_t>(n)));
    }
    return std::string(line);
  }
  void Tell(const std::string& text) {
    ASSERT_EQ(write(fd_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  const std::string& path() const { return path_; }

 private:
  std::string folder_, path_;
  int listener_ = -1, fd_ = -1;
  RankLineBuffer buffer_;
};

std::string MembershipLine(int64_t incarnation, int64_t rank) {
  return FormatRankMessage(
      RankMembership{incarnation, rank, 2, 2, {1, 2}, {"localhost:1", "localhost:2"}});
}

RankHello Hello() {
  RankHello hello;
  hello.member = 17;
  hello.endpoint = "localhost:9";
  return hello;
}

TEST(Rank, IsNullWithoutASocketInTheEnvironment) {
  unsetenv("LONGRUN_SOCKET");
  EXPECT_EQ(Rank::Connect("localhost:9", 0), nullptr);
}

TEST(Rank, SaysHelloAndHearsMembershipsInOrder) {
  FakeAgent agent;
  Rank rank(agent.path(), Hello());
  agent.Accept();
  EXPECT_EQ(agent.Line(), "hello v=1 member=17 pid=0 endpoint=localhost:9 step=0");
  agent.Tell("nonsense\n" + MembershipLine(5, 1) + "membership incarnation=9 rank=0\n");
  RankMembership m;
  ASSERT_TRUE(rank.WaitMembership(-1, milliseconds(-1), &m));
  EXPECT_EQ(m.incarnation, 5);
  EXPECT_EQ(m.rank, 1);
  // An older one changes nothing, and the malformed one did not count.
  agent.Tell(MembershipLine(4, 0) + MembershipLine(6, 0));
  ASSERT_TRUE(rank.WaitMembership(5, milliseconds(-1), &m));
  EXPECT_EQ(m.incarnation, 6);
  EXPECT_EQ(rank.incarnation(), 6);
  EXPECT_FALSE(rank.WaitMembership(6, milliseconds(0), &m));
}

TEST(Rank, WhatIsSaidArrivesInOrder) {
  FakeAgent agent;
  Rank rank(agent.path(), Hello());
  rank.Joined(1, 0, "start", 0.5);
  for (int i = 1; i <= 300; ++i) rank.Commit(1, i, 1.5, 10, 0.25);
  rank.Say("done\nwell");
  agent.Accept();
  EXPECT_THAT(agent.Line(), testing::StartsWith("hello "));
  std::string line = agent.Line();
  // The greeting repeats what was said last; the queue follows.
  while (line != "joined incarnation=1 step=0 source=start seconds=0.5" && line != "(end)") {
    line = agent.Line();
  }
  std::vector<std::string> rest;
  while (rest.empty() || rest.back().substr(0, 3) != "say") rest.push_back(agent.Line());
  EXPECT_EQ(rest.back(), "say text=done%0Awell");
  EXPECT_THAT(rest[rest.size() - 2], testing::HasSubstr("step=300"));
}

TEST(Rank, AReturningAgentIsGreetedWithTheLastState) {
  FakeAgent agent;
  Rank rank(agent.path(), Hello());
  agent.Accept();
  EXPECT_THAT(agent.Line(), testing::StartsWith("hello "));
  rank.Joined(1, 7, "peer", 0.5);
  rank.Commit(1, 8, 1.5, 10, 0.25);
  EXPECT_THAT(agent.Line(), testing::StartsWith("joined "));
  EXPECT_THAT(agent.Line(), testing::StartsWith("commit "));
  agent.StopListening();
  agent.Drop();
  rank.Commit(1, 9, 1.5, 10, 0.25);
  agent.Listen();
  agent.Accept();
  EXPECT_THAT(agent.Line(), testing::HasSubstr("step=9"));  // the hello names the step
  EXPECT_THAT(agent.Line(), testing::StartsWith("joined incarnation=1 step=7"));
  EXPECT_THAT(agent.Line(), testing::StartsWith("commit incarnation=1 step=9"));
  agent.Tell(MembershipLine(2, 0));
  RankMembership m;
  EXPECT_TRUE(rank.WaitMembership(1, milliseconds(-1), &m));
}

TEST(Rank, APingIsAnsweredWithTheStepAtHandWhateverTheProgramDoes) {
  FakeAgent agent;
  Rank rank(agent.path(), Hello());
  agent.Accept();
  agent.Line();
  rank.Commit(1, 121, 3.5, 64, 0.1);
  agent.Line();
  agent.Tell("ping n=7\nping n=soon\nping n=8\n");
  EXPECT_EQ(agent.Line(), "pong n=7 step=121");
  EXPECT_EQ(agent.Line(), "pong n=8 step=121");
}

TEST(Rank, AStopWakesTheWaitingAndGivesItsReason) {
  FakeAgent agent;
  Rank rank(agent.path(), Hello());
  std::atomic<int> changes{0};
  rank.OnChange([&] { ++changes; });
  agent.Accept();
  agent.Tell("stop reason=cancelled%20by%20user\n");
  RankMembership m;
  EXPECT_FALSE(rank.WaitMembership(-1, milliseconds(-1), &m));
  EXPECT_TRUE(rank.stop_requested());
  EXPECT_EQ(rank.stop_reason(), "cancelled by user");
  while (changes == 0) std::this_thread::yield();
  rank.OnChange(nullptr);
  EXPECT_EQ(changes, 1);
}

TEST(Rank, NothingWaitsForAnAgentThatDoesNotRead) {
  FakeAgent agent;
  Rank rank(agent.path(), Hello());
  agent.Accept();
  // Far more than a socket holds, and more than the queue keeps: the oldest lines go, the call
  // returns.
  const std::string text(64 * 1024, 'x');
  for (int i = 0; i < 200; ++i) rank.Say(text);
  rank.Commit(1, 5, 1.0, 1, 1.0);
  std::string line;
  while (line.substr(0, 6) != "commit" && line != "(end)") line = agent.Line();
  EXPECT_THAT(line, testing::StartsWith("commit incarnation=1 step=5"));
}

}  // namespace
}  // namespace longrun
