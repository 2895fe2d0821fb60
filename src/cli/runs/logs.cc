// `longrun logs`: what the ranks printed, from the files that the agents write.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "nlohmann/json.hpp"

namespace longrun::cli {
namespace {

namespace fs = std::filesystem;

constexpr auto kPoll = std::chrono::milliseconds(100);
// Asking whether the run is over costs more than looking at files.
constexpr int kPollsBetweenQuestions = 5;

// One stream of one process: "17.out", with "17.out.1" before it and "17.out.2" before that.
struct LogFile {
  int64_t member = 0;
  bool errors = false;
  std::string path;
};

std::vector<LogFile> FindFiles(const std::string& folder, const LogsFlags& flags,
                               const std::set<int64_t>* members) {
  std::vector<LogFile> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::vector<std::string> parts = absl::StrSplit(entry.path().filename().string(), '.');
    LogFile file{.path = entry.path().string()};
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &file.member)) continue;
    if (parts[1] != "out" && parts[1] != "err") continue;
    file.errors = parts[1] == "err";
    if (flags.stream == "out" && file.errors) continue;
    if (flags.stream == "err" && !file.errors) continue;
    if (members != nullptr && members->count(file.member) == 0) continue;
    files.push_back(file);
  }
  std::sort(files.begin(), files.end(), [](const LogFile& a, const LogFile& b) {
    return std::pair(a.member, a.errors) < std::pair(b.member, b.errors);
  });
  return files;
}

class Printer {
 public:
  Printer(bool json, bool prefix) : json_(json), prefix_(prefix) {}

  // Whole lines of `text`, and with `all` what is left without an end.
  void Print(const LogFile& file, std::string& text, bool all) {
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      Line(file, text.substr(begin, end - begin));
    }
    text.erase(0, begin);
    if (all && !text.empty()) Line(file, std::exchange(text, ""));
    std::fflush(stdout);
  }

 private:
  void Line(const LogFile& file, const std::string& line) {
    if (json_) {
      const nlohmann::ordered_json object{
          {"member", file.member}, {"stream", file.errors ? "err" : "out"}, {"line", line}};
      std::printf("%s\n",
                  object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
      return;
    }
    if (prefix_) std::printf("%lld | ", static_cast<long long>(file.member));
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fputc('\n', stdout);
  }

  bool json_;
  bool prefix_;
};

std::string ReadFrom(const std::string& path, int64_t offset) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(offset);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Where the reading of one file stands.
struct Tail {
  LogFile file;
  int64_t offset = 0;
  std::string rest;  // of a line without its end
};

// Prints what was added. A file that is shorter than it was has been rotated: what was missed of it
// is at the end of its ".1".
void Advance(Tail& tail, Printer& printer, bool all) {
  std::error_code error;
  const int64_t size = static_cast<int64_t>(fs::file_size(tail.file.path, error));
  if (error) return;
  if (size < tail.offset) {
    tail.rest += ReadFrom(tail.file.path + ".1", tail.offset);
    tail.offset = 0;
  }
  const std::string more = ReadFrom(tail.file.path, tail.offset);
  tail.offset += static_cast<int64_t>(more.size());
  tail.rest += more;
  printer.Print(tail.file, tail.rest, all);
}

void PrintRotated(const LogFile& file, Printer& printer) {
  for (const char* suffix : {".2", ".1"}) {
    std::string text = ReadFrom(file.path + suffix, 0);
    printer.Print(file, text, true);
  }
}

// Members that --rank, --incarnation and --member choose; null: all.
absl::StatusOr<std::unique_ptr<std::set<int64_t>>> Chosen(const StateFolder& state,
                                                          const LogsFlags& flags) {
  if (flags.member >= 0) {
    return std::make_unique<std::set<int64_t>>(std::set<int64_t>{flags.member});
  }
  if (flags.rank < 0 && flags.incarnation < 0) return nullptr;
  std::string warning;
  LR_ASSIGN_OR_RETURN(const auto events, ReadEvents(state, &warning));
  auto members = std::make_unique<std::set<int64_t>>();
  for (const JournalEvent& numbered : events) {
    const auto* decided = std::get_if<fleet::IncarnationDecided>(&numbered.event.body);
    if (decided == nullptr || decided->run.text != flags.run) continue;
    if (flags.incarnation >= 0 &&
        decided->incarnation != static_cast<uint64_t>(flags.incarnation)) {
      continue;
    }
    for (size_t r = 0; r < decided->gang.size(); ++r) {
      if (flags.rank < 0 || static_cast<size_t>(flags.rank) == r) members->insert(decided->gang[r]);
    }
  }
  if (members->empty()) {
    return absl::NotFoundError(absl::StrCat(flags.run, " has had no such rank or incarnation"));
  }
  return members;
}

bool IsOver(const StateFolder& state, const std::string& run) {
  const absl::StatusOr<Answer> answer = AskStatus(state, run);
  return !answer.ok() || answer->from_journal || answer->reply.runs(0).over();
}

void Follow(const StateFolder& state, const LogsFlags& flags, const std::set<int64_t>* members,
            Printer& printer, std::map<std::string, Tail>& tails) {
  bool over = false;
  for (int poll = 0; !over; ++poll) {
    // Asked before the last look, so that nothing printed before the end is missed.
    over = poll % kPollsBetweenQuestions == 0 && IsOver(state, flags.run);
    for (const LogFile& file : FindFiles(state.run(flags.run) + "/logs", flags, members)) {
      Tail& tail = tails[file.path];
      tail.file = file;
      Advance(tail, printer, over);
    }
    if (!over) std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

int Logs(const LogsFlags& flags) {
  const absl::StatusOr<StateFolder> state = FindStateFolder(flags.common.state);
  if (!state.ok()) {
    PrintError(state.status());
    return kUsage;
  }
  const auto members = Chosen(*state, flags);
  if (!members.ok()) {
    PrintError(members.status());
    return kFailed;
  }
  const std::string folder = state->run(flags.run) + "/logs";
  const std::vector<LogFile> files = FindFiles(folder, flags, members->get());
  if (files.empty() && !fs::exists(state->run(flags.run))) {
    const absl::StatusOr<Answer> known = AskStatus(*state, flags.run);
    if (!known.ok() || !flags.follow) {
      PrintError(known.ok()
                     ? absl::NotFoundError(absl::StrCat(flags.run, " has printed nothing yet"))
                     : known.status());
      return kFailed;
    }
  }
  const bool several = !files.empty() && files.front().member != files.back().member;
  Printer printer(flags.common.json, several || flags.follow);
  std::map<std::string, Tail> tails;
  for (const LogFile& file : files) {
    PrintRotated(file, printer);
    Tail& tail = tails[file.path];
    tail.file = file;
    Advance(tail, printer, !flags.follow);
  }
  if (flags.follow) Follow(*state, flags, members->get(), printer, tails);
  return kOk;
}

}  // namespace longrun::cli
