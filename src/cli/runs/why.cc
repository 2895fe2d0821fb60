// `longrun why`: reads the journal, so it works with and without a controller.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/runs/explain.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

// Of the facts before one decision; a gang of thousands that broke reports as often.
constexpr size_t kFactsShown = 12;

// "12:00:00.250": a story is read within a day; the first line gives the date.
std::string Clock(Time at) {
  const std::string text = FormatTime(at);
  return text.size() >= 23 ? text.substr(11, 12) : text;
}

// Lines after the first are indented like it.
std::string Indented(const std::string& text, size_t columns) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      absl::StrAppend(&out, "\n", std::string(columns, ' '));
    } else {
      out.push_back(c >= 0 && c < 32 ? ' ' : c);
    }
  }
  return out;
}

void PrintStory(const std::vector<Explained>& entries) {
  for (const Explained& entry : entries) {
    size_t shown = 0;
    for (const Explained::Fact& fact : entry.facts) {
      if (++shown > kFactsShown) break;
      std::printf("%s    %s\n", Clock(fact.at).c_str(), Indented(fact.text, 16).c_str());
    }
    if (entry.facts.size() > kFactsShown) {
      std::printf("                and %zu more like these\n", entry.facts.size() - kFactsShown);
    }
    if (entry.decision.empty()) continue;
    std::printf("%s  → %s\n", Clock(entry.at).c_str(), Indented(entry.decision, 16).c_str());
  }
}

nlohmann::ordered_json StoryJson(const std::string& run, const std::vector<Explained>& entries) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Explained& entry : entries) {
    nlohmann::ordered_json facts = nlohmann::ordered_json::array();
    for (const Explained::Fact& fact : entry.facts) {
      facts.push_back({{"seq", fact.seq}, {"at", FormatTime(fact.at)}, {"text", fact.text}});
    }
    nlohmann::ordered_json decision(nullptr);
    if (!entry.decision.empty()) {
      decision = {{"seq", entry.seq},
                  {"at", FormatTime(entry.at)},
                  {"kind", entry.name},
                  {"text", entry.decision}};
    }
    list.push_back({{"facts", facts}, {"decision", decision}});
  }
  return {{"run", run}, {"story", list}};
}

std::vector<std::string> RunNames(const std::vector<JournalEvent>& events) {
  std::vector<std::string> names;
  for (const JournalEvent& numbered : events) {
    if (std::holds_alternative<fleet::RunSubmitted>(numbered.event.body)) {
      names.push_back(fleet::RunOf(numbered.event.body).text);
    }
  }
  return names;
}

}  // namespace

int Why(const CommonFlags& flags, const std::string& run) {
  const absl::StatusOr<StateFolder> state = FindStateFolder(flags.state);
  if (!state.ok()) {
    PrintError(state.status());
    return kUsage;
  }
  std::string warning;
  const auto events = ReadEvents(*state, &warning);
  if (!events.ok()) {
    PrintError(events.status());
    return ExitCodeOf(events.status());
  }
  if (!warning.empty()) std::fprintf(stderr, "longrun: warning: %s\n", warning.c_str());
  const std::vector<Explained> entries = Explain(*events, run);
  if (entries.empty()) {
    PrintError(absl::NotFoundError(
        absl::StrCat("the journal knows no run named ", run, DidYouMean(run, RunNames(*events)))));
    return kFailed;
  }
  if (flags.json) {
    std::printf("%s\n", StoryJson(run, entries)
                            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                            .c_str());
    return kOk;
  }
  std::printf("%s, %s (UTC); → marks what Longrun decided, above it what it knew\n\n", run.c_str(),
              FormatTime(entries.front().facts.empty() ? entries.front().at
                                                       : entries.front().facts.front().at)
                  .substr(0, 10)
                  .c_str());
  PrintStory(entries);
  return kOk;
}

}  // namespace longrun::cli
