#include "cli/runs/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longrun::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const fleet::RunId kRun("job");

class Journal {
 public:
  Journal& Add(fleet::EventBody body) {
    const uint64_t seq = events.size() + 1;
    fleet::Event event;
    event.at = Time{static_cast<int64_t>(seq) * 1'000'000};
    event.body = std::move(body);
    events.push_back({seq, std::move(event)});
    return *this;
  }
  Journal& Submit(const fleet::RunId& run) {
    fleet::RunSubmitted submitted;
    submitted.spec.name = run;
    return Add(submitted);
  }
  Journal& Start(uint64_t incarnation, std::vector<fleet::MemberId> gang, fleet::Rung rung) {
    fleet::IncarnationDecided decided;
    decided.run = kRun;
    decided.incarnation = incarnation;
    decided.rung = rung;
    decided.reason = "because";
    decided.gang = std::move(gang);
    for (const fleet::MemberId member : decided.gang) {
      decided.placed.push_back({member, fleet::NodeId("node-" + std::to_string(member)), {0}});
    }
    return Add(decided);
  }
  Journal& Exit(fleet::MemberId member, int code, int signal) {
    fleet::MemberExited exited;
    exited.run = kRun;
    exited.member = member;
    exited.code = code;
    exited.signal = signal;
    exited.what = "last words";
    return Add(exited);
  }
  Journal& Finish(fleet::Phase phase) {
    fleet::RunFinished finished;
    finished.run = kRun;
    finished.phase = phase;
    return Add(finished);
  }
  std::vector<JournalEvent> events;
};

TEST(ExplainTest, EachDecisionStandsAfterTheFactsThatLedToIt) {
  Journal journal;
  journal.Submit(kRun).Start(1, {1, 2}, fleet::Rung::kStart).Exit(2, 0, 9);
  journal.Start(2, {1, 3}, fleet::Rung::kSwapSpare).Finish(fleet::Phase::kSucceeded);
  const auto entries = Explain(journal.events, "job");
  ASSERT_THAT(entries, SizeIs(3));
  EXPECT_EQ(entries[0].name, "IncarnationDecided");
  ASSERT_THAT(entries[1].facts, SizeIs(1));
  EXPECT_EQ(entries[1].facts[0].text, "rank 1 (member 2 on node-2) was killed by signal 9");
  EXPECT_THAT(entries[1].decision, HasSubstr("swap-spare"));
  EXPECT_EQ(entries[1].seq, 4u);
  EXPECT_EQ(entries[2].name, "RunFinished");
}

TEST(ExplainTest, ProgressAndOtherRunsAreLeftOut) {
  Journal journal;
  journal.Submit(kRun).Start(1, {1}, fleet::Rung::kStart);
  fleet::MemberCommitted committed;
  committed.run = kRun;
  committed.member = 1;
  journal.Add(committed);
  fleet::MemberExited other;
  other.run = fleet::RunId("other");
  other.member = 1;
  journal.Add(other);
  fleet::NodeLost lost;
  lost.node = fleet::NodeId("node-77");
  journal.Add(lost).Finish(fleet::Phase::kSucceeded);
  const auto entries = Explain(journal.events, "job");
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_THAT(entries[1].facts, SizeIs(0));
}

TEST(ExplainTest, ALostNodeThatHeldAMemberIsAFact) {
  Journal journal;
  fleet::NodeLost lost;
  lost.node = fleet::NodeId("node-1");
  lost.reason = "its agent is gone";
  journal.Submit(kRun).Start(1, {1}, fleet::Rung::kStart).Add(lost);
  const auto entries = Explain(journal.events, "job");
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[1].decision, "");
  EXPECT_THAT(entries[1].facts[0].text, HasSubstr("node-1 was lost"));
}

TEST(ExplainTest, LastWordsAreForFailures) {
  Journal journal;
  journal.Submit(kRun).Start(1, {1, 2}, fleet::Rung::kStart).Exit(1, 0, 0).Exit(2, 3, 0);
  const auto entries = Explain(journal.events, "job");
  EXPECT_THAT(entries[1].facts[0].text, Not(HasSubstr("last words")));
  EXPECT_THAT(entries[1].facts[1].text, HasSubstr("exited with code 3: last words"));
}

TEST(ExplainTest, TheNewestRunOfTheNameCounts) {
  Journal journal;
  journal.Submit(kRun).Start(1, {1}, fleet::Rung::kStart).Finish(fleet::Phase::kFailed);
  journal.Submit(kRun).Start(1, {1}, fleet::Rung::kStart).Finish(fleet::Phase::kSucceeded);
  const auto entries = Explain(journal.events, "job");
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].seq, 5u);
  EXPECT_THAT(Explain(journal.events, "unknown"), SizeIs(0));
}

TEST(ExplainTest, AMemberThatWasReplacedIsNoSpare) {
  Journal journal;
  journal.Submit(kRun).Start(1, {1, 2}, fleet::Rung::kStart);
  journal.Start(2, {3, 2}, fleet::Rung::kSwapSpare).Exit(1, 0, 9);
  journal.Finish(fleet::Phase::kSucceeded);
  const auto entries = Explain(journal.events, "job");
  ASSERT_THAT(entries, SizeIs(3));
  ASSERT_THAT(entries[2].facts, SizeIs(1));
  EXPECT_THAT(entries[2].facts[0].text, HasSubstr("what was rank 0 (member 1 on node-1)"));
}

}  // namespace
}  // namespace longrun::cli
