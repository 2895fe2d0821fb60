#include "placement/placement.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace longrun::placement {
namespace {

using fleet::EventBody;
using fleet::Member;
using fleet::MemberId;
using fleet::Node;
using fleet::NodeId;
using fleet::Run;
using fleet::RunSpec;

// What is free, less what this round has given away.
struct Room {
  const Node* node = nullptr;
  std::vector<int> free;  // accelerators
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;

  int64_t Fits(const fleet::Resources& need) const {
    int64_t n = static_cast<int64_t>(free.size()) / std::max(1, need.accelerators);
    if (need.cpu_milli > 0) n = std::min(n, cpu_milli / need.cpu_milli);
    if (need.memory_bytes > 0) n = std::min(n, memory_bytes / need.memory_bytes);
    return std::max<int64_t>(0, n);
  }
};

using Rooms = std::map<NodeId, Room>;

Rooms FreeRoom(const fleet::State& state) {
  Rooms rooms;
  for (const auto& [id, node] : state.nodes) {
    if (!node.up) continue;
    Room room{.node = &node,
              .cpu_milli = node.cpu_milli - node.cpu_used_milli,
              .memory_bytes = node.memory_bytes - node.memory_used_bytes};
    for (size_t i = 0; i < node.slots.size(); ++i) {
      if (node.slots[i].run.empty()) room.free.push_back(static_cast<int>(i));
    }
    rooms.emplace(id, std::move(room));
  }
  return rooms;
}

bool Allowed(const Node& node, const RunSpec& spec) {
  if (spec.resources.type != "any" && spec.resources.type != node.type) return false;
  return spec.sites.empty() ||
         std::find(spec.sites.begin(), spec.sites.end(), node.site) != spec.sites.end();
}

// The value of a topology label; a node is a domain of its own under "node".
std::string DomainOf(const Node& node, const std::string& label) {
  if (label == "node") return node.id.text;
  if (label == "site") return node.site.text;
  const auto it = node.labels.find(label);
  return it == node.labels.end() ? absl::StrCat("unlabelled ", node.id.text) : it->second;
}

fleet::Placement Take(Room& room, const fleet::Resources& need, MemberId member) {
  const int n = std::max(1, need.accelerators);
  fleet::Placement placement{.member = member,
                             .node = room.node->id,
                             .accelerators = {room.free.begin(), room.free.begin() + n}};
  room.free.erase(room.free.begin(), room.free.begin() + n);
  room.cpu_milli -= need.cpu_milli;
  room.memory_bytes -= need.memory_bytes;
  return placement;
}

// Nodes that may take the run's processes, the one with most room first.
std::vector<Room*> Candidates(Rooms& rooms, const RunSpec& spec) {
  std::vector<Room*> candidates;
  for (auto& [id, room] : rooms) {
    if (Allowed(*room.node, spec) && room.Fits(spec.resources) > 0) candidates.push_back(&room);
  }
  std::stable_sort(candidates.begin(), candidates.end(), [&](const Room* a, const Room* b) {
    return a->Fits(spec.resources) > b->Fits(spec.resources);
  });
  return candidates;
}

// The domains under the label that could take `wanted` processes (`least` where none could take
// all), the tightest first; one domain of everything where the label is empty.
std::vector<Room*> ChooseDomain(const std::vector<Room*>& candidates, const RunSpec& spec,
                                const std::string& only, int64_t wanted, int64_t least) {
  if (spec.within.empty()) return candidates;
  std::map<std::string, std::pair<int64_t, std::vector<Room*>>> domains;
  for (Room* room : candidates) {
    const std::string domain = DomainOf(*room->node, spec.within);
    if (!only.empty() && domain != only) continue;
    auto& [fits, rooms] = domains[domain];
    fits += room->Fits(spec.resources);
    rooms.push_back(room);
  }
  const std::pair<int64_t, std::vector<Room*>>* best = nullptr;
  for (const auto& [name, domain] : domains) {
    if (domain.first < least) continue;
    const bool all = domain.first >= wanted;
    const bool best_all = best != nullptr && best->first >= wanted;
    if (best == nullptr || (all && !best_all) || (all && best_all && domain.first < best->first) ||
        (!all && !best_all && domain.first > best->first)) {
      best = &domain;
    }
  }
  return best == nullptr ? std::vector<Room*>{} : best->second;
}

// Up to `wanted` places, at least `least` or none.
std::vector<fleet::Placement> Place(const std::vector<Room*>& rooms, const RunSpec& spec,
                                    int64_t wanted, int64_t least, MemberId first) {
  int64_t fits = 0;
  for (const Room* room : rooms) fits += room->Fits(spec.resources);
  const int64_t n = std::min(wanted, fits);
  std::vector<fleet::Placement> placed;
  if (n < std::max<int64_t>(1, least)) return placed;
  for (Room* room : rooms) {
    while (static_cast<int64_t>(placed.size()) < n && room->Fits(spec.resources) > 0) {
      placed.push_back(Take(*room, spec.resources, first + static_cast<MemberId>(placed.size())));
    }
  }
  return placed;
}

// Domain that the living members of the gang share, where the run asks for one.
std::string SharedDomain(const fleet::State& state, const Run& run) {
  if (run.spec.within.empty()) return "";
  for (const MemberId id : run.gang) {
    const Member* member = run.Find(id);
    if (member != nullptr && member->sound()) {
      return DomainOf(*state.FindNode(member->node), run.spec.within);
    }
  }
  return "";
}

// Members beside the gang that a new gang may take in. One that must share a domain takes those of
// the domain with most of them, and none where the spares were asked to wait elsewhere.
std::vector<MemberId> ReserveForGang(const fleet::State& state, const Run& run) {
  if (run.spec.within.empty()) return fleet::Reserve(run);
  if (!run.spec.spares_where.empty()) return {};
  std::map<std::string, std::vector<MemberId>> domains;
  for (const MemberId id : fleet::Reserve(run)) {
    domains[DomainOf(*state.FindNode(run.Find(id)->node), run.spec.within)].push_back(id);
  }
  std::vector<MemberId> most;
  for (const auto& [domain, members] : domains) {
    if (members.size() > most.size()) most = members;
  }
  return most;
}

void PlaceGang(const fleet::State& state, const Config& config, const Run& run, Rooms& rooms,
               std::vector<EventBody>* out) {
  const std::vector<MemberId> reserve = ReserveForGang(state, run);
  if (!run.spec.within.empty() && run.spec.spares_where.empty()) {
    std::vector<MemberId> strays = fleet::Reserve(run);
    std::erase_if(strays, [&](MemberId id) {
      return std::find(reserve.begin(), reserve.end(), id) != reserve.end();
    });
    if (!strays.empty()) {
      out->push_back(fleet::MembersStopped{
          .run = run.id,
          .members = strays,
          .kill = true,
          .reason = absl::StrCat("the new gang shares one ", run.spec.within, ", and not theirs")});
      return;
    }
  }
  const int64_t have = std::min<int64_t>(reserve.size(), run.spec.ranks);
  const int64_t wanted = run.spec.ranks - have;
  const int64_t least =
      (run.spec.elastic_min > 0 ? std::min(run.spec.elastic_min, run.spec.ranks) : run.spec.ranks) -
      have;
  fleet::IncarnationDecided decided{
      .run = run.id,
      .incarnation = run.incarnation + 1,
      .rung = run.gang.empty() ? fleet::Rung::kStart : fleet::Rung::kRestartGang,
      .gang = {reserve.begin(), reserve.begin() + have}};
  if (wanted > 0) {
    std::string only;
    if (have > 0 && !run.spec.within.empty()) {
      only = DomainOf(*state.FindNode(run.Find(reserve.front())->node), run.spec.within);
    }
    const auto candidates = Candidates(rooms, run.spec);
    decided.placed = Place(ChooseDomain(candidates, run.spec, only, wanted, least), run.spec,
                           wanted, least, run.next_member);
    if (decided.placed.empty() && least > 0) {
      // The run's own spares may be what takes the room, or sit in the wrong domain.
      if (const auto spares = fleet::Reserve(run); !spares.empty() && !run.spec.within.empty()) {
        out->push_back(fleet::MembersStopped{
            .run = run.id,
            .members = spares,
            .kill = true,
            .reason = "their slots may make room for the gang, of which nothing is left"});
        return;
      }
      int64_t fits = 0;
      for (const Room* room : candidates) fits += room->Fits(run.spec.resources);
      const int accelerators = std::max(1, run.spec.resources.accelerators);
      const std::string reason = absl::StrCat(
          "needs room for ", wanted, wanted == 1 ? " rank" : " ranks",
          least < wanted ? absl::StrCat(", at least ", least, ",") : "", " of ", accelerators,
          accelerators == 1 ? " accelerator" : " accelerators", wanted == 1 ? "" : " each",
          run.spec.within.empty() ? "" : absl::StrCat(" within one ", run.spec.within),
          "; there is room for ", fits);
      if (!run.waits || run.reason != reason) {
        out->push_back(fleet::RunWaits{.run = run.id, .reason = reason});
      }
      return;
    }
  }
  for (const fleet::Placement& placement : decided.placed) {
    decided.gang.push_back(placement.member);
  }
  const NodeId first = decided.placed.empty() || have > 0 ? run.Find(decided.gang.front())->node
                                                          : decided.placed.front().node;
  decided.master_address = state.FindNode(first)->address;
  decided.master_port =
      config.first_master_port + static_cast<int>(Mix64(HashOf(run.id) + decided.incarnation) %
                                                  static_cast<uint64_t>(config.master_ports));
  const size_t n = decided.gang.size();
  decided.reason =
      run.gang.empty()
          ? absl::StrCat("room for ", n, n == 1 ? " rank" : " ranks")
          : absl::StrCat(run.recoveries.empty() ? "the gang ended" : run.recoveries.back().cause,
                         "; the gang starts anew from its newest checkpoint");
  out->push_back(std::move(decided));
}

// Splits candidates for a spare: where the manifest wants it and away from the gang, then away from
// the gang, then anywhere.
std::vector<Room*> ForSpares(const fleet::State& state, const Run& run,
                             std::vector<Room*> candidates) {
  const std::string label(absl::StripPrefix(run.spec.spares_where, "other-"));
  std::set<NodeId> nodes;
  std::set<std::string> domains;
  for (const MemberId id : run.gang) {
    const Member* member = run.Find(id);
    if (member == nullptr || !member->alive()) continue;
    nodes.insert(member->node);
    if (!label.empty()) domains.insert(DomainOf(*state.FindNode(member->node), label));
  }
  const auto rank = [&](const Room* room) {
    if (nodes.contains(room->node->id)) return 2;
    return !label.empty() && domains.contains(DomainOf(*room->node, label)) ? 1 : 0;
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Room* a, const Room* b) { return rank(a) < rank(b); });
  return candidates;
}

void PlaceReserve(const fleet::State& state, const Config& config, const Run& run, Time now,
                  Rooms& rooms, std::vector<EventBody>* out) {
  int64_t sound = static_cast<int64_t>(fleet::Reserve(run).size());
  const int64_t lost = static_cast<int64_t>(fleet::LostRanks(run).size());
  if (lost > 0 && !run.speaks_protocol) return;  // the gang will be placed anew, whole
  sound += static_cast<int64_t>(run.gang.size()) - lost;
  const int64_t wanted = run.spec.ranks + run.spec.spares - sound;
  if (wanted <= 0) return;
  if (run.reserve_failures > 0) {
    Duration wait = config.reserve_backoff;
    for (int i = 1; i < run.reserve_failures && wait < config.longest_reserve_backoff; ++i) {
      wait = wait * 2;
    }
    if (now < run.reserve_failed_at + std::min(wait, config.longest_reserve_backoff)) return;
  }
  const int64_t missing = run.spec.ranks - (static_cast<int64_t>(run.gang.size()) - lost);
  std::vector<Room*> candidates = Candidates(rooms, run.spec);
  if (!run.spec.within.empty() && run.spec.spares_where.empty()) {
    const std::string domain = SharedDomain(state, run);
    if (domain.empty()) return;  // nobody is left: the gang will be placed anew
    candidates = ChooseDomain(candidates, run.spec, domain, wanted, 1);
  }
  const auto placed =
      Place(ForSpares(state, run, candidates), run.spec, wanted, 1, run.next_member);
  if (placed.empty()) return;
  const size_t n = placed.size();
  out->push_back(fleet::ReservePlaced{
      .run = run.id,
      .placed = placed,
      .reason = missing > 0
                    ? absl::StrCat(n, n == 1 ? " replacement" : " replacements",
                                   " for lost ranks and spares")
                    : absl::StrCat(n, n == 1 ? " spare" : " spares", " to wait beside the gang")});
}

}  // namespace

std::vector<EventBody> Decide(const fleet::State& state, const Config& config, Time now, Random&) {
  std::vector<EventBody> out;
  Rooms rooms = FreeRoom(state);
  std::vector<const Run*> runs;
  for (const auto& [id, run] : state.runs) {
    if (run.live() && !run.cancel_requested) runs.push_back(&run);
  }
  std::stable_sort(runs.begin(), runs.end(), [](const Run* a, const Run* b) {
    if (a->spec.priority != b->spec.priority) return a->spec.priority > b->spec.priority;
    return a->submitted < b->submitted;
  });
  for (const Run* run : runs) {
    const bool anyone = std::any_of(run->gang.begin(), run->gang.end(),
                                    [&](MemberId id) { return run->Find(id)->alive(); });
    const bool over = !run->gang.empty() && fleet::LostRanks(*run).empty();
    if (!anyone && !over) {
      if (now >= run->wait_until) PlaceGang(state, config, *run, rooms, &out);
    } else if (anyone) {
      const bool ending = std::any_of(run->gang.begin(), run->gang.end(),
                                      [&](MemberId id) { return run->Find(id)->clean_exit(); });
      if (!ending) PlaceReserve(state, config, *run, now, rooms, &out);
    }
  }
  return out;
}

}  // namespace longrun::placement
