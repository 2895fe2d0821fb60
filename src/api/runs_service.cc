#include "api/runs_service.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "api/run_request.h"
#include "api/run_view.h"
#include "api/status_code.h"
#include "base/nearest.h"

namespace longrun::api {
namespace {

constexpr Duration kBetweenViews = Duration::Millis(100);

// A view's own time: the wall clock, but never before what the view shows.
Time NowFor(const fleet::State& state) { return std::max(WallClock().Now(), state.now); }

// A controller in good health, or in a trouble that ends by itself: a full disk.
bool Passes(const absl::Status& health) { return health.ok() || absl::IsResourceExhausted(health); }

absl::Status NoSuchRun(const fleet::State& state, const std::string& run) {
  std::vector<std::string> names;
  for (const auto& [id, other] : state.runs) names.push_back(id.text);
  return absl::NotFoundError(absl::StrCat("there is no run named ", run, DidYouMean(run, names)));
}

}  // namespace

grpc::Status RunsService::Submit(grpc::ServerContext*, const v1::SubmitRequest* request,
                                 v1::SubmitReply* reply) {
  const absl::StatusOr<fleet::RunSpec> spec = SpecOf(*request);
  if (!spec.ok()) return ToGrpc(spec.status());
  const absl::StatusOr<fleet::RunId> run =
      control_->Submit(*spec, request->manifest(), request->unique_name());
  if (!run.ok()) return ToGrpc(run.status());
  reply->set_run(run->text);
  return grpc::Status::OK;
}

grpc::Status RunsService::Status(grpc::ServerContext*, const v1::StatusRequest* request,
                                 v1::StatusReply* reply) {
  absl::Status status = control_->health();
  if (!Passes(status)) return ToGrpc(status);
  reply->set_trouble(std::string(status.message()));
  status = absl::OkStatus();
  control_->Read([&](const fleet::State& state) {
    const Time now = NowFor(state);
    for (const auto& [id, node] : state.nodes) *reply->add_nodes() = ViewOf(node);
    if (request->run().empty()) {
      for (const auto& [id, run] : state.runs) *reply->add_runs() = ViewOf(run, now);
      return;
    }
    const fleet::Run* run = state.FindRun(fleet::RunId(request->run()));
    if (run == nullptr) {
      status = NoSuchRun(state, request->run());
    } else {
      *reply->add_runs() = ViewOf(*run, now);
    }
  });
  reply->set_controller_pid(::getpid());
  reply->set_controller_version(version_);
  reply->set_embedded(embedded_);
  return ToGrpc(status);
}

grpc::Status RunsService::Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                                grpc::ServerWriter<v1::RunView>* writer) {
  const fleet::RunId id(request->run());
  while (!stopping_ && !context->IsCancelled()) {
    absl::Status status = control_->health();
    if (!Passes(status)) return ToGrpc(status);
    v1::RunView view;
    const std::string trouble(status.message());
    status = absl::OkStatus();
    control_->Read([&](const fleet::State& state) {
      const fleet::Run* run = state.FindRun(id);
      if (run == nullptr) {
        status = NoSuchRun(state, id.text);
      } else {
        view = ViewOf(*run, NowFor(state));
        view.set_trouble(trouble);
      }
    });
    if (!status.ok()) return ToGrpc(status);
    if (!writer->Write(view) || view.over()) return grpc::Status::OK;
    WaitForNextView();
  }
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the controller is stopping");
}

void RunsService::WaitForNextView() {
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, std::chrono::microseconds(kBetweenViews.us),
                    [this] { return stopping_.load(); });
}

void RunsService::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
}

grpc::Status RunsService::Cancel(grpc::ServerContext*, const v1::CancelRequest* request,
                                 v1::CancelReply*) {
  absl::Status status = absl::OkStatus();
  control_->Read([&](const fleet::State& state) {
    if (state.FindRun(fleet::RunId(request->run())) == nullptr) {
      status = NoSuchRun(state, request->run());
    }
  });
  if (!status.ok()) return ToGrpc(status);
  return ToGrpc(control_->Cancel(fleet::RunId(request->run()), request->reason()));
}

grpc::Status RunsService::Fault(grpc::ServerContext*, const v1::FaultRequest* request,
                                v1::FaultReply*) {
  const absl::Status status = control_->Inject(request->kind(), fleet::RunId(request->run()),
                                               request->rank(), fleet::NodeId(request->node()));
  // A controller that is killed on purpose is killed as a failing machine would do it: at once.
  if (status.ok() && request->kind() == "kill-controller") ::kill(::getpid(), SIGKILL);
  return ToGrpc(status);
}

grpc::Status RunsService::Shutdown(grpc::ServerContext*, const v1::ShutdownRequest* request,
                                   v1::ShutdownReply*) {
  if (request->kill()) kill_requested_ = true;
  shutdown_requested_ = true;
  return grpc::Status::OK;
}

}  // namespace longrun::api
