#include "control/memory_journal.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace longrun::control {

uint64_t MemoryJournal::Append(Time at, int32_t kind, std::string_view payload) {
  LR_CHECK_GE(kind, 0);
  LR_CHECK_GE(at.us, (pending_.empty() ? last_at_ : pending_.back().at).us);
  const uint64_t seq = last_seq_ + pending_.size() + 1;
  pending_.push_back({seq, at, kind, std::string(payload)});
  return seq;
}

void MemoryJournal::Keep(Record record) {
  last_seq_ = record.seq;
  last_at_ = record.at;
  records_.push_back(std::move(record));
}

absl::Status MemoryJournal::Commit() {
  if (pending_.empty()) return absl::OkStatus();
  LR_RETURN_IF_ERROR(write_status_);
  for (Record& record : pending_) Keep(std::move(record));
  pending_.clear();
  return absl::OkStatus();
}

absl::Status MemoryJournal::Read(uint64_t from_seq, Visitor visit) {
  const auto first = std::lower_bound(records_.begin(), records_.end(), from_seq,
                                      [](const Record& r, uint64_t seq) { return r.seq < seq; });
  for (auto it = first; it != records_.end(); ++it) {
    if (!visit({it->seq, it->at, it->kind, it->payload})) break;
  }
  return absl::OkStatus();
}

absl::Status MemoryJournal::WriteSnapshot(uint64_t seq, std::string_view payload) {
  LR_CHECK_GT(seq, 0u);
  LR_CHECK_LE(seq, last_seq_);
  LR_CHECK(snapshots_.empty() || seq >= snapshots_.back().seq);
  LR_RETURN_IF_ERROR(write_status_);
  const auto record = std::lower_bound(records_.begin(), records_.end(), seq,
                                       [](const Record& r, uint64_t s) { return r.seq < s; });
  LR_CHECK(record != records_.end() && record->seq == seq);
  if (!snapshots_.empty() && snapshots_.back().seq == seq) snapshots_.pop_back();
  snapshots_.push_back({seq, record->at, std::string(payload)});
  if (snapshots_.size() > 2) snapshots_.erase(snapshots_.begin());
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Snapshot>> MemoryJournal::NewestSnapshot() {
  if (snapshots_.empty()) return std::nullopt;
  return snapshots_.back();
}

absl::StatusOr<uint64_t> MemoryJournal::Prune(absl::Span<const int32_t> kinds,
                                              uint64_t through_seq) {
  if (snapshots_.size() < 2) return uint64_t{0};
  // The record a snapshot stands on stays.
  const uint64_t through = std::min(through_seq, snapshots_.front().seq - 1);
  if (through <= pruned_through_) return uint64_t{0};
  LR_RETURN_IF_ERROR(write_status_);
  const uint64_t pruned = std::erase_if(records_, [&](const Record& record) {
    return record.seq > pruned_through_ && record.seq <= through &&
           std::find(kinds.begin(), kinds.end(), record.kind) != kinds.end();
  });
  pruned_through_ = through;
  return pruned;
}

void MemoryJournal::Crash(size_t survivors, bool torn) {
  survivors = std::min(survivors, pending_.size());
  for (size_t i = 0; i < survivors; ++i) Keep(std::move(pending_[i]));
  if (torn && survivors < pending_.size()) {
    const uint64_t seq = pending_[survivors].seq;
    damages_.push_back({.what = absl::StrCat("record ", seq, " was only half written; dropped"),
                        .first_seq = seq,
                        .records_lost = 1});
  }
  pending_.clear();
}

void MemoryJournal::DamageNewestSnapshot() {
  if (snapshots_.empty()) return;
  const uint64_t seq = snapshots_.back().seq;
  snapshots_.pop_back();
  damages_.push_back({.what = absl::StrCat("the snapshot after record ", seq, " is damaged"),
                      .below_snapshot = true});
}

}  // namespace longrun::control
