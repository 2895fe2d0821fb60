#include "serving/schedule/fair_queue.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace longrun::serving {

double FairQueue::counter(int32_t tenant) const {
  const auto found = counters_.find(tenant);
  return found == counters_.end() ? 0 : found->second;
}

void FairQueue::Arrive(Job* job) {
  if (!waiting_.contains(job->tenant)) {
    double least = std::numeric_limits<double>::infinity();
    for (const auto& [tenant, count] : waiting_) least = std::min(least, counter(tenant));
    if (waiting_.empty()) least = last_to_leave_ < 0 ? 0 : counter(last_to_leave_);
    double& own = counters_[job->tenant];
    own = std::max(own, least);
  }
  Insert(job);
}

void FairQueue::Return(Job* job) { Insert(job); }

void FairQueue::Insert(Job* job) {
  Line& line = lanes_[job->priority].by_tenant[job->tenant];
  std::deque<Job*>& jobs = line.jobs;
  jobs.insert(std::upper_bound(jobs.begin(), jobs.end(), job,
                               [](const Job* a, const Job* b) { return Before(*a, *b); }),
              job);
  ++waiting_[job->tenant];
  ++size_;
  line.tokens += job->remaining();
  line.places += job->places();
}

bool FairQueue::Remove(Job* job) {
  const auto lane = lanes_.find(job->priority);
  if (lane == lanes_.end()) return false;
  const auto line = lane->second.by_tenant.find(job->tenant);
  if (line == lane->second.by_tenant.end()) return false;
  const std::deque<Job*>& jobs = line->second.jobs;
  const auto at = std::find(jobs.begin(), jobs.end(), job);
  if (at == jobs.end()) return false;
  Forget(lane, job->tenant, static_cast<size_t>(at - jobs.begin()));
  return true;
}

void FairQueue::Age(Time now, Duration patience, int32_t running) {
  if (lanes_.empty()) return;
  const int32_t highest = std::max(running, lanes_.begin()->first);
  std::vector<Job*> moved;
  for (const auto& [priority, lane] : lanes_) {
    if (priority == highest) continue;
    for (const auto& [tenant, line] : lane.by_tenant) {
      for (Job* job : line.jobs) {  // the oldest first: mostly one look
        const Duration waited = job->waited + (now - job->waiting_since);
        if (ClaimOf(priority, waited, patience) == priority) break;
        moved.push_back(job);
      }
    }
  }
  for (Job* job : moved) {
    LR_CHECK(Remove(job));
    job->priority = kTopClaim;
    Insert(job);
  }
}

void FairQueue::Forget(Lanes::iterator lane, int32_t tenant, size_t index) {
  Line& line = lane->second.by_tenant.at(tenant);
  std::deque<Job*>& jobs = line.jobs;
  --size_;
  line.tokens -= jobs[index]->remaining();
  line.places -= jobs[index]->places();
  jobs.erase(jobs.begin() + static_cast<int64_t>(index));
  const auto waiting = waiting_.find(tenant);
  if (--waiting->second == 0) {
    waiting_.erase(waiting);
    last_to_leave_ = tenant;
  }
  if (jobs.empty()) lane->second.by_tenant.erase(tenant);
  if (lane->second.by_tenant.empty()) lanes_.erase(lane);
}

void FairQueue::ForEachLine(const std::function<void(const Line& line)>& visit) const {
  for (const auto& [priority, lane] : lanes_) {
    for (const auto& [tenant, line] : lane.by_tenant) visit(line);
  }
}

void FairQueue::Begin() {
  for (auto& [priority, lane] : lanes_) lane.skipped.clear();
}

bool FairQueue::Find(Place* place) {
  for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
    place->lane = lane;
    place->tenant = -1;
    double least = std::numeric_limits<double>::infinity();
    for (const auto& [tenant, line] : lane->second.by_tenant) {
      const auto skipped = lane->second.skipped.find(tenant);
      if (skipped != lane->second.skipped.end() && skipped->second >= line.jobs.size()) continue;
      if (counter(tenant) < least) {
        least = counter(tenant);
        place->tenant = tenant;
      }
    }
    if (place->tenant >= 0) return true;
  }
  return false;
}

Job* FairQueue::Front() {
  Place place;
  if (!Find(&place)) return nullptr;
  Lane& lane = place.lane->second;
  return lane.by_tenant.at(place.tenant).jobs[lane.skipped[place.tenant]];
}

void FairQueue::Skip() {
  Place place;
  LR_CHECK(Find(&place));
  ++place.lane->second.skipped[place.tenant];
}

void FairQueue::Take() {
  Place place;
  LR_CHECK(Find(&place));
  Forget(place.lane, place.tenant, place.lane->second.skipped[place.tenant]);
}

}  // namespace longrun::serving
