#include "cli/runs/explain.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace longrun::cli {
namespace {

using fleet::EventBody;
using fleet::MemberId;

bool IsProgress(const EventBody& body) {
  return std::holds_alternative<fleet::MemberCommitted>(body) ||
         std::holds_alternative<fleet::MetricReported>(body) ||
         std::holds_alternative<fleet::MemberStarted>(body) ||
         std::holds_alternative<fleet::MemberJoined>(body) ||
         std::holds_alternative<fleet::MemberSaid>(body) ||
         std::holds_alternative<fleet::MemberWaiting>(body) ||
         std::holds_alternative<fleet::CheckpointPublished>(body);
}

// Who is who in the run, as its decisions go by.
class Cast {
 public:
  void Learn(const EventBody& body) {
    if (const auto* decided = std::get_if<fleet::IncarnationDecided>(&body)) {
      Place(decided->placed);
      for (const auto& [member, rank] : ranks_) former_[member] = rank;
      ranks_.clear();
      for (size_t r = 0; r < decided->gang.size(); ++r) {
        ranks_[decided->gang[r]] = static_cast<int>(r);
      }
    } else if (const auto* reserve = std::get_if<fleet::ReservePlaced>(&body)) {
      Place(reserve->placed);
    }
  }

  bool Sits(const fleet::NodeId& node) const {
    return std::any_of(nodes_.begin(), nodes_.end(),
                       [&](const auto& entry) { return entry.second == node.text; });
  }

  std::string NameOf(MemberId member) const {
    const auto rank = ranks_.find(member);
    const auto node = nodes_.find(member);
    const auto former = former_.find(member);
    const std::string role = rank != ranks_.end() ? absl::StrCat("rank ", rank->second)
                             : former != former_.end()
                                 ? absl::StrCat("what was rank ", former->second)
                                 : "the spare";
    return absl::StrCat(role, " (member ", member,
                        node == nodes_.end() ? "" : absl::StrCat(" on ", node->second), ")");
  }

 private:
  void Place(const std::vector<fleet::Placement>& placed) {
    for (const fleet::Placement& placement : placed) {
      nodes_[placement.member] = placement.node.text;
    }
  }

  std::map<MemberId, int> ranks_;
  std::map<MemberId, int> former_;  // places they had in earlier gangs
  std::map<MemberId, std::string> nodes_;
};

// The member that a fact is about; 0: none.
MemberId MemberOf(const EventBody& body) {
  return std::visit(
      [](const auto& e) -> MemberId {
        if constexpr (requires { e.member; }) {
          return e.member;
        } else {
          return 0;
        }
      },
      body);
}

// A process that ended well has nothing to explain by what it printed last, nor has one that was
// killed.
EventBody Shortened(const EventBody& body) {
  const auto* exited = std::get_if<fleet::MemberExited>(&body);
  if (exited == nullptr || exited->code != 0) return body;
  fleet::MemberExited shorter = *exited;
  shorter.what.clear();
  return shorter;
}

std::string TextOf(const EventBody& body, const Cast& cast) {
  const std::string text = fleet::Describe(Shortened(body));
  const MemberId member = MemberOf(body);
  const std::string begin = absl::StrCat("member ", member);
  if (member == 0 || !absl::StartsWith(text, begin)) return text;
  return cast.NameOf(member) + text.substr(begin.size());
}

bool Concerns(const EventBody& body, const fleet::RunId& run, const Cast& cast) {
  if (const auto* lost = std::get_if<fleet::NodeLost>(&body)) return cast.Sits(lost->node);
  if (std::holds_alternative<fleet::NodeJoined>(body)) return true;
  if (std::holds_alternative<fleet::ControllerStarted>(body)) return true;
  if (const auto* fault = std::get_if<fleet::FaultInjected>(&body)) {
    return fault->run == run || fault->run.empty();
  }
  return fleet::RunOf(body) == run;
}

}  // namespace

std::vector<Explained> Explain(const std::vector<JournalEvent>& events, const std::string& name) {
  const fleet::RunId run(name);
  std::vector<Explained> entries;
  Cast cast;
  Explained entry;
  bool seen = false;
  bool over = false;
  for (const auto& [seq, event] : events) {
    if (std::holds_alternative<fleet::RunSubmitted>(event.body) &&
        fleet::RunOf(event.body) == run) {
      // A newer run of that name: what was before is another story.
      entries.clear();
      cast = Cast();
      entry = Explained();
      seen = true;
      over = false;
    }
    if (!seen || over || IsProgress(event.body) || !Concerns(event.body, run, cast)) continue;
    if (!fleet::IsDecision(event.body)) {
      entry.facts.push_back({seq, event.at, TextOf(event.body, cast)});
      continue;
    }
    cast.Learn(event.body);
    entry.seq = seq;
    entry.at = event.at;
    entry.name = fleet::EventName(event.body);
    entry.decision = TextOf(event.body, cast);
    over = std::holds_alternative<fleet::RunFinished>(event.body);
    entries.push_back(std::exchange(entry, Explained()));
  }
  if (!entry.facts.empty()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace longrun::cli
