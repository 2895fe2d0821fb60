#include "training/trainer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "model/threads.h"
#include "training/batches.h"
#include "training/clip.h"
#include "training/trained_model.h"

namespace longrun::training {
namespace {

// What the ranks sum up each step besides gradients; f64 [kStats].
enum Stat { kLossSum, kStop, kCheckpointDue, kWriterBusy, kCheckpointFailed, kStats };

int64_t BucketFloats(double megabytes) {
  return std::max<int64_t>(1024, static_cast<int64_t>(megabytes * (1 << 20) / 4));
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, RunData data, std::string run_folder, at::Device device,
                 std::shared_ptr<Bell> bell)
    : config_(config),
      data_(std::move(data)),
      run_folder_(std::move(run_folder)),
      config_hash_(Mix64(config.Hash() ^ data_.hash)),
      bell_(std::move(bell)),
      state_(config, device),
      gradient_(config, &data_.train),
      reducer_(state_.model().flat().size(), BucketFloats(config.bucket_mb)),
      writer_(run_folder_ + "/checkpoints", bell_),
      clock_(config.checkpoint) {}

absl::Status Trainer::WarmUp() {
  const int64_t share = std::max<int64_t>(1, config_.batch / 4);
  const int64_t count = config_.micro_batch > 0 ? std::min(config_.micro_batch, share) : share;
  const std::vector<int64_t> offsets(static_cast<size_t>(count), 0);
  LR_ASSIGN_OR_RETURN(const at::Tensor batch,
                      ReadBatch(data_.train, offsets, config_.model.context));
  state_.model().ForwardBackward(batch, {});
  gradient_.Forget();
  return absl::OkStatus();
}

absl::Status Trainer::Run(Membership* membership) {
  int64_t incarnation = -1;
  while (true) {
    auto gang = membership->Next(incarnation);
    if (absl::IsCancelled(gang.status())) return StopAlone(membership, gang.status());
    if (!gang.ok()) return gang.status();
    incarnation = (*gang)->spec().incarnation;
    last_spec_ = (*gang)->spec();
    writer_.GiveUpBefore(incarnation);
    Session session(*std::move(gang), membership, bell_);
    const absl::Status status = TrainIn(&session);
    session.gang().Abandon();
    reducer_.Abandon();
    sends_.clear();
    if (absl::IsUnavailable(status)) membership->Broken(incarnation, std::string(status.message()));
    if (absl::IsUnavailable(status) || absl::IsAborted(status)) {
      log::info("incarnation {} left: {}", incarnation, std::string(status.message()));
      continue;
    }
    return status;
  }
}

absl::Status Trainer::TrainIn(Session* session) {
  LR_RETURN_IF_ERROR(Join(session));
  while (true) {
    if (EvaluationDue()) LR_RETURN_IF_ERROR(Evaluate(session));
    ReportCheckpoints(&session->membership());
    if (stopping_ || state_.step() >= config_.steps) return Finish(session);
    LR_RETURN_IF_ERROR(Step(session));
  }
}

absl::Status Trainer::Join(Session* session) {
  LR_RETURN_IF_ERROR(session->WaitReady());
  SyncRow own;
  own.evaluated_step = evaluated_step_;
  own.threads = at::get_num_threads();
  own.config_hash = config_hash_;
  const double waited = session->gang().age_seconds();
  LR_ASSIGN_OR_RETURN(SyncResult sync,
                      Synchronize(session, &state_, own, [&]() -> absl::StatusOr<bool> {
                        return LoadCheckpoint(&session->membership());
                      }));
  sends_ = std::move(sync.sends);
  if (sync.source_threads > 0 && config_.threads == 0) {
    model::SetThreads(sync.source_threads);
  }
  // What one rank has seen evaluated has been: it was a sum over all.
  for (const SyncRow& row : sync.rows) {
    evaluated_step_ = std::max(evaluated_step_, row.evaluated_step);
  }
  if (sync.source != "own") gradient_.Forget();
  const GangSpec& spec = session->spec();
  if (spec.rank == 0) RemovePartial(writer_.folder());
  // A survivor's clock runs on: faults that come often must not put checkpoints off for ever.
  if (sync.source != "own") clock_.Restart(state_.step(), watch_.seconds());
  if (sync.source == "start" || sync.source == "checkpoint") clock_.MeasureSoon();
  last_commit_ = watch_.seconds();
  first_step_ = true;
  const double seconds = session->gang().age_seconds();
  log::info(
      "incarnation {}: rank {} of {} at step {} from {} after {:.0f} ms: group {:.0f}, own work "
      "until "
      "{:.0f}, exchange {:.1f}, transfer {:.1f}",
      spec.incarnation, spec.rank, spec.world, state_.step(), sync.source, seconds * 1e3,
      session->gang().build_seconds() * 1e3, waited * 1e3, sync.exchange_seconds * 1e3,
      sync.transfer_seconds * 1e3);
  session->membership().Joined(spec.incarnation, state_.step(), sync.source, seconds);
  if (spec.rank == 0) {
    // Whoever watches the run wants to know how much there is to do.
    session->membership().Metric("total_steps", static_cast<double>(config_.steps), state_.step());
  }
  return absl::OkStatus();
}

absl::Status Trainer::Step(Session* session) {
  const double started = watch_.seconds();
  Gang& gang = session->gang();
  reducer_.Begin(&gang, state_.model().flat().gradients());
  LR_RETURN_IF_ERROR(gradient_.Compute(session, &state_, &reducer_));
  const double computed = watch_.seconds();

  at::Tensor stats = at::zeros({kStats}, at::kDouble);
  double* stat = stats.data_ptr<double>();
  stat[kLossSum] = gradient_.loss_sum();
  stat[kStop] = session->membership().stop_requested() ? 1 : 0;
  const bool due = clock_.Due(state_.step() + 1, watch_.seconds());
  stat[kCheckpointDue] = due ? 1 : 0;  // on any rank: a newcomer's clock has only begun
  stat[kWriterBusy] = writer_.busy() ? 1 : 0;
  stat[kCheckpointFailed] = std::exchange(checkpoint_failed_, false) ? 1 : 0;
  const FlightPtr summed = gang.AllReduceSum(stats);
  LR_RETURN_IF_ERROR(session->Wait(reducer_.flights()));
  LR_RETURN_IF_ERROR(session->Wait(summed));
  LR_RETURN_IF_ERROR(session->Wait(sends_));  // before the state they carry changes
  sends_.clear();
  if (first_step_) {
    log::info("first step of the incarnation: own gradients {:.0f} ms, sums {:.0f} ms",
              (computed - started) * 1e3, (watch_.seconds() - computed) * 1e3);
  }
  return Apply(session, stats, started);
}

absl::Status Trainer::Apply(Session* session, const at::Tensor& stats, double started) {
  const double* stat = stats.data_ptr<double>();
  const double norm = config_.clip > 0 ? GlobalNorm(reducer_.sum()) : 0;
  const double scale = config_.clip > 0 ? ClipScale(norm, config_.clip) : 1;
  state_.Apply(reducer_.sum(), LearningRate(config_.schedule, state_.step()), scale);
  gradient_.Forget();

  const GangSpec& spec = session->spec();
  const int64_t tokens = config_.batch * config_.model.context;
  const double loss = stat[kLossSum] / static_cast<double>(tokens);
  const double now = watch_.seconds();
  const double seconds = now - std::max(started, last_commit_);
  last_commit_ = now;
  session->membership().Commit(spec.incarnation, state_.step(), loss, tokens, seconds);
  if (first_step_) {
    log::info("step {} committed {:.0f} ms after the membership", state_.step(),
              session->gang().age_seconds() * 1e3);
  }
  first_step_ = false;
  if (!std::isfinite(loss)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the loss of step %d is %f: lower schedule.lr, or set clip", state_.step(), loss));
  }
  if (stat[kStop] > 0) stopping_ = true;
  if (stat[kCheckpointFailed] > 0) clock_.Restart(state_.step(), now);
  if (stat[kCheckpointDue] > 0 && stat[kWriterBusy] == 0) StartCheckpoint(spec);
  return absl::OkStatus();
}

bool Trainer::EvaluationDue() const {
  if (!data_.validation.has_value() || evaluated_step_ == state_.step()) return false;
  if (state_.step() >= config_.steps) return true;
  return config_.evaluate_every > 0 && state_.step() % config_.evaluate_every == 0;
}

absl::Status Trainer::Evaluate(Session* session) {
  const GangSpec& spec = session->spec();
  const int64_t context = config_.model.context;
  const std::vector<int64_t> offsets =
      EvaluationOffsets(config_.evaluate_sequences, context, data_.validation->size());
  const auto count = static_cast<int64_t>(offsets.size());
  const Share share = ShareOf(count, spec.rank, spec.world);
  const int64_t chunk = config_.micro_batch > 0 ? config_.micro_batch : 16;
  double sum = 0;
  for (int64_t at = share.begin; at < share.end; at += chunk) {
    if (session->Superseded()) return absl::AbortedError("a newer membership is here");
    const auto mine = std::span(offsets).subspan(
        static_cast<size_t>(at), static_cast<size_t>(std::min(chunk, share.end - at)));
    LR_ASSIGN_OR_RETURN(const at::Tensor batch, ReadBatch(*data_.validation, mine, context));
    sum += state_.model().Evaluate(batch);
  }
  at::Tensor total = at::full({1}, sum, at::kDouble);
  LR_RETURN_IF_ERROR(session->Wait(session->gang().AllReduceSum(total)));
  validation_loss_ = total.item<double>() / static_cast<double>(count * context);
  evaluated_step_ = state_.step();
  if (spec.rank == 0) {
    session->membership().Metric("validation_loss", validation_loss_, state_.step());
  }
  last_commit_ = watch_.seconds();
  return absl::OkStatus();
}

absl::StatusOr<bool> Trainer::LoadCheckpoint(Membership* membership) {
  bool touched = false;
  NamedTensors tensors = state_.Tensors();
  for (auto& entry : tensors) entry.second = entry.second.to(at::kCPU);  // itself, if it is there
  const auto step = LoadNewest(
      writer_.folder(), config_hash_, LayoutHash(state_.model().flat()), tensors,
      [&](const std::string& warning) {
        log::warn("{}", warning);
        membership->Say(warning);
      },
      &touched);
  if (step.ok()) {
    const NamedTensors own = state_.Tensors();
    for (size_t i = 0; i < own.size(); ++i) {
      if (!own[i].second.is_same(tensors[i].second)) own[i].second.copy_(tensors[i].second);
    }
    state_.set_step(*step);
    checkpoint_step_ = *step;
    return true;
  }
  if (touched) state_.Start();
  return false;
}

void Trainer::StartCheckpoint(const GangSpec& spec) {
  CheckpointJob job;
  job.step = state_.step();
  job.incarnation = spec.incarnation;
  job.rank = spec.rank;
  job.world = spec.world;
  job.config_hash = config_hash_;
  job.layout_hash = LayoutHash(state_.model().flat());
  job.keep = config_.checkpoint.keep;
  writer_.Write(job, state_.Tensors());
  checkpoint_step_ = job.step;
  clock_.Restart(job.step, watch_.seconds());
}

void Trainer::ReportCheckpoints(Membership* membership) {
  while (const auto outcome = writer_.Take()) {
    if (outcome->status.ok()) {
      clock_.Measured(outcome->stall_seconds, outcome->write_seconds);
      if (outcome->published) {
        membership->Checkpoint(outcome->step, outcome->write_seconds, outcome->stall_seconds);
      }
    } else if (!absl::IsCancelled(outcome->status)) {
      checkpoint_failed_ = true;
      const std::string text =
          absl::StrCat("the checkpoint of step ", outcome->step,
                       " could not be written, training goes on and the next one will be tried: ",
                       outcome->status.message());
      log::warn("{}", text);
      membership->Say(text);
    }
  }
}

// Waits until this rank's part of a checkpoint of the present step is written, on rank 0 until all
// of it is published.
absl::Status Trainer::FinalCheckpoint(Session* session) {
  const auto wait_idle = [&] {
    bell_->WaitUntil([&] { return writer_.idle() || session->Superseded(); });
    return session->Superseded() ? absl::AbortedError("a newer membership is here")
                                 : absl::OkStatus();
  };
  LR_RETURN_IF_ERROR(wait_idle());
  if (checkpoint_step_ != state_.step()) {
    StartCheckpoint(session->spec());
    LR_RETURN_IF_ERROR(wait_idle());
  }
  ReportCheckpoints(&session->membership());
  return absl::OkStatus();
}

absl::Status Trainer::Finish(Session* session) {
  Membership& membership = session->membership();
  LR_RETURN_IF_ERROR(FinalCheckpoint(session));
  const bool complete = state_.step() >= config_.steps;
  absl::Status saved;
  if (complete && session->spec().rank == 0) saved = SaveModel(&membership);
  // Nobody leaves before rank 0 is through: should it die, another does its work again.
  at::Tensor failed = at::full({1}, saved.ok() ? 0.0 : 1.0, at::kDouble);
  LR_RETURN_IF_ERROR(session->Wait(session->gang().AllReduceSum(failed)));
  LR_RETURN_IF_ERROR(saved);
  if (failed.item<double>() > 0) return absl::InternalError("rank 0 could not save the model");
  if (complete) {
    membership.Done(state_.step());
    return absl::OkStatus();
  }
  return absl::CancelledError(
      absl::StrCat("stopped after step ", state_.step(), " of ", config_.steps));
}

absl::Status Trainer::SaveModel(Membership* membership) {
  const std::string folder =
      config_.output[0] == '/' ? config_.output : run_folder_ + "/" + config_.output;
  LR_RETURN_IF_ERROR(SaveTrainedModel(state_.model(), data_.tokenizer, folder));
  membership->Say("model saved to " + folder);
  if (config_.sample.tokens > 0) {
    LR_ASSIGN_OR_RETURN(const std::string text,
                        SampleText(state_.model(), data_.tokenizer, config_.sample, config_.seed));
    membership->Say("sample: " + text);
  }
  return absl::OkStatus();
}

// A stop that comes while the gang is broken: one rank that has the state writes all of it.
absl::Status Trainer::StopAlone(Membership* membership, const absl::Status& reason) {
  if (state_.step() > 0 && checkpoint_step_ != state_.step() && last_spec_.rank == 0) {
    GangSpec alone = last_spec_;
    alone.rank = 0;
    alone.world = 1;
    StartCheckpoint(alone);
    bell_->WaitUntil([&] { return writer_.idle(); });
    ReportCheckpoints(membership);
  }
  return reason;
}

}  // namespace longrun::training
