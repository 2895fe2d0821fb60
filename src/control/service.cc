#include "control/service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace longrun::control {

static constexpr size_t kEventsKept = 20'000;
static constexpr Duration kPatience = Duration::Millis(100);

Service::Service(Journal* journal, engine::Engine* engine, Config config)
    : journal_(journal),
      engine_(engine),
      config_(config),
      control_(std::make_unique<Control>(journal, engine, config)) {}

Service::~Service() { Stop(); }

absl::Status Service::Start(const fleet::ControllerStarted& started) {
  {
    std::lock_guard lock(mutex_);
    LR_RETURN_IF_ERROR(control_->Open(WallClock(journal_->last_at()).Now(), started));
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Service::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  engine_->Wake();
  if (thread_.joinable()) thread_.join();
  std::lock_guard lock(mutex_);
  for (Waiting& waiting : requests_) {
    waiting.done.set_value(absl::UnavailableError("the controller is stopping"));
  }
  requests_.clear();
  changed_.notify_all();
}

absl::Status Service::health() const {
  std::lock_guard lock(mutex_);
  return health_;
}

void Service::Run() {
  WallClock clock(journal_->last_at());
  while (true) {
    std::vector<fleet::Event> facts = engine_->Observe(kPatience);
    std::lock_guard lock(mutex_);
    if (stop_) return;
    std::vector<fleet::EventBody> requests;
    std::deque<Waiting> accepted;
    for (Waiting& waiting : std::exchange(requests_, {})) {
      if (absl::Status status = control_->Check(waiting.body); !status.ok()) {
        waiting.done.set_value(std::move(status));
        continue;
      }
      // Two submissions of one name in a turn: the second is refused like any later one.
      const auto* submitted = std::get_if<fleet::RunSubmitted>(&waiting.body);
      if (submitted != nullptr &&
          std::any_of(requests.begin(), requests.end(), [&](const fleet::EventBody& other) {
            return std::holds_alternative<fleet::RunSubmitted>(other) &&
                   fleet::RunOf(other) == submitted->spec.name;
          })) {
        waiting.done.set_value(absl::AlreadyExistsError(
            absl::StrCat("a run named ", submitted->spec.name.text, " was submitted just now")));
        continue;
      }
      requests.push_back(waiting.body);
      accepted.push_back(std::move(waiting));
    }
    const absl::Status status = control_->Turn(clock.Now(), std::move(facts), std::move(requests));
    for (Waiting& waiting : accepted) waiting.done.set_value(status);
    for (Numbered& numbered : control_->TakeFolded()) events_.push_back(std::move(numbered));
    while (events_.size() > kEventsKept) events_.pop_front();
    changed_.notify_all();
    if (status.ok()) {
      health_ = absl::OkStatus();
      continue;
    }
    if (health_.code() != status.code())
      log::error("the journal: {}", std::string(status.message()));
    health_ = status;
    if (!absl::IsResourceExhausted(status)) return;
  }
}

absl::Status Service::Request(fleet::EventBody body) {
  std::future<absl::Status> done;
  {
    std::lock_guard lock(mutex_);
    if (stop_) return absl::UnavailableError("the controller is stopping");
    if (!health_.ok() && !absl::IsResourceExhausted(health_)) return health_;
    requests_.push_back({.body = std::move(body), .done = {}});
    done = requests_.back().done.get_future();
  }
  engine_->Wake();
  return done.get();
}

absl::StatusOr<fleet::RunId> Service::Submit(fleet::RunSpec spec, std::string manifest,
                                             bool unique_name) {
  const std::string wanted = spec.name.text;
  if (unique_name) {
    std::lock_guard lock(mutex_);
    const fleet::State& state = control_->state();
    for (int n = 2; state.runs.contains(spec.name); ++n)
      spec.name.text = absl::StrCat(wanted, "-", n);
  }
  const fleet::RunId run = spec.name;
  LR_RETURN_IF_ERROR(
      Request(fleet::RunSubmitted{.spec = std::move(spec), .manifest = std::move(manifest)}));
  return run;
}

absl::Status Service::Cancel(const fleet::RunId& run, const std::string& reason) {
  return Request(fleet::CancelRequested{.run = run, .reason = reason});
}

absl::Status Service::Inject(const std::string& kind, const fleet::RunId& run_id, int rank,
                             const fleet::NodeId& node) {
  fleet::FaultInjected injected{.kind = kind, .run = run_id, .rank = rank, .node = node};
  engine::Fault fault;
  {
    std::lock_guard lock(mutex_);
    const fleet::State& state = control_->state();
    if (kind == "kill-node") {
      const fleet::Node* found = state.FindNode(node);
      if (found == nullptr || !found->up) {
        return absl::NotFoundError(
            absl::StrCat("there is no node named ", node.text, " that is up"));
      }
      fault = {.kind = engine::Fault::Kind::kKillNode, .node = node};
    } else if (kind == "kill-rank" || kind == "hang-rank") {
      const fleet::Run* run = state.FindRun(run_id);
      if (run == nullptr || !run->live()) {
        return absl::NotFoundError(
            absl::StrCat("there is no run named ", run_id.text, " under way"));
      }
      std::vector<fleet::MemberId> members = run->gang;
      for (const fleet::MemberId id : fleet::Reserve(*run)) members.push_back(id);
      if (rank < 0 || static_cast<size_t>(rank) >= members.size()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "rank ", rank, " is out of range; ", run_id.text, " has ranks 0 to ",
            static_cast<int>(run->gang.size()) - 1, ", and spares are counted on from there"));
      }
      const fleet::Member& member = *run->Find(members[static_cast<size_t>(rank)]);
      if (!member.alive()) {
        return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " is not alive just now"));
      }
      injected.node = member.node;
      fault = {.kind = kind == "kill-rank" ? engine::Fault::Kind::kKillMember
                                           : engine::Fault::Kind::kHangMember,
               .run = run_id,
               .member = member.id,
               .node = member.node};
    } else if (kind != "kill-controller") {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", kind, "\" is no fault; kill-rank, hang-rank, kill-node or kill-controller is"));
    }
  }
  LR_RETURN_IF_ERROR(Request(std::move(injected)));
  if (kind == "kill-controller") return absl::OkStatus();  // the caller ends the process
  return engine_->Inject(fault);
}

void Service::Read(const std::function<void(const fleet::State&)>& read) const {
  std::lock_guard lock(mutex_);
  read(control_->state());
}

std::vector<Service::Numbered> Service::EventsAfter(uint64_t after, Duration patience) const {
  std::unique_lock lock(mutex_);
  const auto newer = [&] { return !events_.empty() && events_.back().seq > after; };
  changed_.wait_for(lock, std::chrono::microseconds(patience.us),
                    [&] { return stop_ || newer() || !health_.ok(); });
  const auto first =
      std::upper_bound(events_.begin(), events_.end(), after,
                       [](uint64_t seq, const Numbered& numbered) { return seq < numbered.seq; });
  return {first, events_.end()};
}

}  // namespace longrun::control
