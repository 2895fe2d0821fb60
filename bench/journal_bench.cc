// The journal on the disk of the folder it is started in: durable events a second by size of batch,
// beside what the disk's own flushes allow, and opening and reading a million events.
//
//   build/bin/journal_bench [--folder DIR] [--events N]
//
// Medians of five rounds (of three for the openings).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "base/units.h"
#include "control/sqlite_journal.h"

namespace longrun::control {
namespace {

namespace fs = std::filesystem;

double Median(int rounds, const std::function<double()>& measure) {
  std::vector<double> values;
  for (int i = 0; i < rounds; ++i) values.push_back(measure());
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "error: %s\n", value.status().ToString().c_str());
  std::exit(1);
}
void OrDie(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
  std::exit(1);
}

std::unique_ptr<SqliteJournal> Open(const std::string& folder) {
  return OrDie(SqliteJournal::Open({.folder = folder}));
}

// Events of 50 to 200 bytes.
class Events {
 public:
  Events() {
    for (char& c : bytes_) c = static_cast<char>(random_.Below(256));
  }
  std::string_view Next() {
    const size_t size = 50 + random_.Below(151);
    return std::string_view(bytes_).substr(random_.Below(bytes_.size() - size), size);
  }

 private:
  Random random_{1};
  std::string bytes_ = std::string(4096, '\0');
};

// One page more at the end of a file, flushed: what a commit of one page costs at least.
double FlushesPerSecond(const std::string& folder) {
  const std::string path = folder + "/flush";
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  const std::string page(4096, 'x');
  constexpr int kFlushes = 500;
  const Stopwatch watch;
  for (int i = 0; i < kFlushes; ++i) {
    if (pwrite(fd, page.data(), page.size(), i * 4096) != 4096 || fdatasync(fd) != 0) std::exit(1);
  }
  const double seconds = watch.seconds();
  close(fd);
  unlink(path.c_str());
  return kFlushes / seconds;
}

double EventsPerSecond(const std::string& folder, int batch) {
  fs::remove_all(folder);
  const auto journal = Open(folder);
  Events events;
  const int batches = std::clamp(60000 / batch, 100, 1500);
  const Stopwatch watch;
  for (int i = 0; i < batches; ++i) {
    for (int j = 0; j < batch; ++j) journal->Append(Time{i + 1}, j % 7, events.Next());
    OrDie(journal->Commit());
  }
  return batches * batch / watch.seconds();
}

void Fill(const std::string& folder, int64_t count) {
  fs::remove_all(folder);
  const auto journal = Open(folder);
  Events events;
  for (int64_t i = 1; i <= count; ++i) {
    journal->Append(Time{i}, static_cast<int32_t>(i % 7), events.Next());
    if (i % 4096 == 0 || i == count) OrDie(journal->Commit());
  }
}

double OpenSeconds(const std::string& folder) {
  const Stopwatch watch;
  const auto journal = Open(folder);
  return watch.seconds();
}

double ReadSeconds(const std::string& folder) {
  const auto journal = Open(folder);
  uint64_t bytes = 0;
  const Stopwatch watch;
  OrDie(journal->Read(1, [&](const RecordView& record) {
    bytes += record.payload.size();
    return true;
  }));
  const double seconds = watch.seconds();
  if (bytes == 0) std::exit(1);
  return seconds;
}

void Run(const std::string& folder, int64_t count) {
  fs::create_directories(folder);
  const std::string state = folder + "/state";
  std::printf("flushes of one page    %12s /s\n",
              FormatCount(Median(5, [&] { return FlushesPerSecond(folder); })).c_str());
  for (const int batch : {1, 8, 64, 512}) {
    const double rate = Median(5, [&] { return EventsPerSecond(state, batch); });
    std::printf("durable, batches of %3d%12s events/s\n", batch, FormatCount(rate).c_str());
  }
  Fill(state, count);
  std::printf("journal of %s events, %s\n", FormatCount(count).c_str(),
              FormatBytes(static_cast<double>(fs::file_size(state + "/journal.db"))).c_str());
  std::printf("open, no snapshot      %12.3f s\n", Median(3, [&] { return OpenSeconds(state); }));
  std::printf("read all               %12.3f s\n", Median(3, [&] { return ReadSeconds(state); }));
  {
    const auto journal = Open(state);
    OrDie(journal->WriteSnapshot(journal->last_seq() * 99 / 100, std::string(1 << 20, 's')));
  }
  std::printf("open, snapshot at 99 %% %12.3f s\n", Median(3, [&] { return OpenSeconds(state); }));
}

}  // namespace
}  // namespace longrun::control

int main(int argc, char** argv) {
  std::string folder = "journal_bench.tmp";
  int64_t events = 1000000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--folder") folder = argv[i + 1];
    if (flag == "--events") events = std::atoll(argv[i + 1]);
  }
  longrun::control::Run(folder, events);
  std::filesystem::remove_all(folder);
  return 0;
}
