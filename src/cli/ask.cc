#include "cli/ask.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "api/client.h"
#include "api/run_view.h"
#include "api/server.h"
#include "base/nearest.h"
#include "control/control.h"
#include "control/sqlite_journal.h"

namespace longrun::cli {
namespace {

absl::StatusOr<std::unique_ptr<control::SqliteJournal>> OpenJournal(const StateFolder& state) {
  auto journal = control::SqliteJournal::Open({.folder = state.path, .read_only = true});
  if (!absl::IsNotFound(journal.status())) return journal;
  return absl::NotFoundError(
      absl::StrCat("nothing has been run with the state folder ", state.path, " yet"));
}

}  // namespace

absl::StatusOr<Answer> AskStatus(const StateFolder& state, const std::string& run) {
  Answer answer;
  if (api::Answers(state.socket())) {
    api::Client client(state.socket());
    auto reply = client.Status(run, Duration::Seconds(10));
    if (!absl::IsUnavailable(reply.status())) {
      LR_RETURN_IF_ERROR(reply.status());
      answer.reply = *std::move(reply);
      return answer;
    }
  }
  LR_ASSIGN_OR_RETURN(const auto journal, OpenJournal(state));
  LR_ASSIGN_OR_RETURN(const fleet::State folded, control::FoldJournal(*journal));
  answer.from_journal = true;
  std::vector<std::string> names;
  for (const auto& [id, other] : folded.runs) {
    names.push_back(id.text);
    // What the journal knew last: nobody has counted since.
    if (run.empty() || id.text == run) {
      *answer.reply.add_runs() = api::ViewOf(other, folded.now);
    }
  }
  if (!run.empty() && answer.reply.runs_size() == 0) {
    return absl::NotFoundError(absl::StrCat("there is no run named ", run, DidYouMean(run, names)));
  }
  return answer;
}

absl::StatusOr<std::vector<JournalEvent>> ReadEvents(const StateFolder& state,
                                                     std::string* warning) {
  LR_ASSIGN_OR_RETURN(const auto journal, OpenJournal(state));
  std::vector<JournalEvent> events;
  int unread = 0;
  const absl::Status status = journal->Read(1, [&](const control::RecordView& record) {
    absl::StatusOr<fleet::Event> event = control::EventOf(record);
    if (event.ok()) {
      events.push_back({record.seq, *std::move(event)});
    } else {
      ++unread;
    }
    return true;
  });
  if (!status.ok() && !absl::IsDataLoss(status)) return status;
  if (!status.ok()) *warning = std::string(status.message());
  if (unread > 0) absl::StrAppend(warning, unread, " records cannot be read by this version");
  return events;
}

}  // namespace longrun::cli
