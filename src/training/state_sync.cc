#include "training/state_sync.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/time.h"

namespace longrun::training {
namespace {

// Everyone's rows, by rank.
absl::StatusOr<std::vector<SyncRow>> Exchange(Session* session, const SyncRow& own) {
  const int64_t world = session->spec().world;
  at::Tensor table = at::zeros({world, SyncRow::kColumns}, at::kLong);
  auto cell = table.accessor<int64_t, 2>();
  const int64_t rank = session->spec().rank;
  cell[rank][0] = own.step;
  cell[rank][1] = own.evaluated_step;
  cell[rank][2] = own.threads;
  cell[rank][3] = static_cast<int64_t>(own.config_hash);
  LR_RETURN_IF_ERROR(session->Wait(session->gang().AllReduceSum(table)));
  std::vector<SyncRow> rows(world);
  for (int64_t r = 0; r < world; ++r) {
    rows[r] = {cell[r][0], cell[r][1], cell[r][2], static_cast<uint64_t>(cell[r][3])};
  }
  return rows;
}

int64_t Highest(const std::vector<SyncRow>& rows) {
  int64_t step = kNoState;
  for (const SyncRow& row : rows) step = std::max(step, row.step);
  return step;
}

// Receives into `state` or sends from it, as the plan says for this rank. gloo's transfers are
// between buffers of the CPU; tensors elsewhere go through copies there.
absl::Status Transfer(Session* session, const SyncPlan& plan, TrainState* state,
                      std::vector<FlightPtr>* sends) {
  const int64_t rank = session->spec().rank;
  const int64_t root = *std::max_element(plan.source.begin(), plan.source.end());
  const bool behind = plan.source[rank] >= 0;
  if (behind) state->set_step(kNoState);  // until all has arrived
  if (root < 0) return absl::OkStatus();  // nobody is behind
  std::vector<FlightPtr> receives;
  std::vector<std::pair<at::Tensor, at::Tensor>> arrivals;  // where it goes, where it comes in
  int64_t tag = 0;
  for (const auto& [name, tensor] : state->Tensors()) {
    ++tag;
    const bool serves = std::count(plan.source.begin(), plan.source.end(), rank) > 0;
    at::Tensor buffer = tensor;
    if (!tensor.is_cpu() && serves) buffer = tensor.to(at::kCPU);
    if (!tensor.is_cpu() && !serves) buffer = at::empty(tensor.sizes(), at::kFloat);
    if (behind) arrivals.emplace_back(tensor, buffer);
    if (plan.broadcast) {
      receives.push_back(session->gang().Broadcast(buffer, root));
    } else if (behind) {
      receives.push_back(session->gang().Receive(buffer, plan.source[rank], tag));
    }
    for (int64_t r = 0; !plan.broadcast && r < static_cast<int64_t>(plan.source.size()); ++r) {
      if (plan.source[r] == rank) sends->push_back(session->gang().Send(buffer, r, tag));
    }
  }
  if (const absl::Status status = session->Wait(receives); !status.ok()) {
    // The broken transfers must have let go of the tensors before anybody writes there again.
    session->gang().Abandon();
    session->WaitEnded(receives);
    return status;
  }
  for (auto& [tensor, buffer] : arrivals) {
    if (!tensor.is_same(buffer)) tensor.copy_(buffer);
  }
  if (behind) state->set_step(plan.step);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SyncPlan> PlanSync(const std::vector<SyncRow>& rows) {
  SyncPlan plan;
  plan.step = Highest(rows);
  plan.source.assign(rows.size(), -1);
  std::vector<int64_t> ahead, behind;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r].config_hash != rows[0].config_hash) {
      return absl::InvalidArgumentError(
          absl::StrCat("rank ", r,
                       " trains something else than rank 0 (another configuration or other data): "
                       "give all ranks the same files"));
    }
    (rows[r].step == plan.step ? ahead : behind).push_back(static_cast<int64_t>(r));
  }
  for (size_t i = 0; i < behind.size(); ++i) plan.source[behind[i]] = ahead[i % ahead.size()];
  plan.broadcast = ahead.size() == 1 && behind.size() > 1;
  return plan;
}

absl::StatusOr<SyncResult> Synchronize(Session* session, TrainState* state, SyncRow own,
                                       const std::function<absl::StatusOr<bool>()>& load) {
  SyncResult result;
  Stopwatch watch;
  own.step = state->step();
  LR_ASSIGN_OR_RETURN(result.rows, Exchange(session, own));
  if (Highest(result.rows) <= 0) {
    // A new run, or all were lost.
    result.source = "start";
    if (session->spec().rank == 0) {
      LR_ASSIGN_OR_RETURN(const bool loaded, load());
      if (!loaded && state->step() == kNoState) state->Start();
      if (loaded) result.source = "checkpoint";
      own.step = state->step();
    }
    LR_ASSIGN_OR_RETURN(result.rows, Exchange(session, own));
    if (Highest(result.rows) > 0) result.source = "checkpoint";
  }
  result.exchange_seconds = watch.seconds();
  LR_ASSIGN_OR_RETURN(const SyncPlan plan, PlanSync(result.rows));
  watch.Restart();
  const bool behind = plan.source[session->spec().rank] >= 0;
  LR_RETURN_IF_ERROR(Transfer(session, plan, state, &result.sends));
  result.transfer_seconds = watch.seconds();
  if (behind) result.source_threads = result.rows[plan.source[session->spec().rank]].threads;
  if (behind && result.source == "own") result.source = "peer";
  for (SyncRow& row : result.rows) row.step = plan.step;
  return result;
}

}  // namespace longrun::training
