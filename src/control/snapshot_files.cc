#include "control/snapshot_files.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace longrun::control {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "snapshot-";
constexpr uint64_t kMagic = 0x31706e736e6f4c21ull;
constexpr int64_t kSizeLimit = int64_t{8} << 30;
constexpr size_t kKept = 2;

struct Header {
  uint64_t magic;
  uint64_t seq;
  int64_t at_us;
  uint64_t chain_sum;
  uint64_t payload_bytes;
  uint64_t sum;  // over the fields above and the payload
};

uint64_t SumOf(const Header& header, std::string_view payload) {
  return XXH3_64bits_withSeed(payload.data(), payload.size(),
                              XXH3_64bits(&header, offsetof(Header, sum)));
}

}  // namespace

std::string SnapshotFiles::PathOf(uint64_t seq) const {
  return absl::StrCat(folder_, "/", kPrefix, seq);
}

absl::StatusOr<std::vector<uint64_t>> SnapshotFiles::List() const {
  std::vector<uint64_t> seqs;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    uint64_t seq = 0;
    if (absl::StartsWith(name, kPrefix) &&
        absl::SimpleAtoi(name.substr(sizeof(kPrefix) - 1), &seq)) {
      seqs.push_back(seq);
    }
  }
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot list ", folder_));
  std::sort(seqs.begin(), seqs.end(), std::greater<>());
  return seqs;
}

absl::StatusOr<SnapshotFile> SnapshotFiles::Load(uint64_t seq) const {
  const std::string path = PathOf(seq);
  LR_ASSIGN_OR_RETURN(std::string content, ReadFile(path, kSizeLimit));
  Header header;
  if (content.size() < sizeof(header)) {
    return absl::DataLossError(absl::StrCat(path, ": the snapshot is cut short"));
  }
  std::memcpy(&header, content.data(), sizeof(header));
  const std::string_view payload = std::string_view(content).substr(sizeof(header));
  if (header.magic != kMagic || header.seq != seq || header.payload_bytes != payload.size() ||
      header.sum != SumOf(header, payload)) {
    return absl::DataLossError(absl::StrCat(path, ": the snapshot's checksum does not match"));
  }
  SnapshotFile file{{seq, Time{header.at_us}, std::string(payload)}, header.chain_sum};
  return file;
}

absl::Status SnapshotFiles::Write(uint64_t seq, Time at, uint64_t chain_sum,
                                  std::string_view payload) {
  Header header{kMagic, seq, at.us, chain_sum, payload.size(), 0};
  header.sum = SumOf(header, payload);
  std::string content(reinterpret_cast<const char*>(&header), sizeof(header));
  content.append(payload);
  LR_RETURN_IF_ERROR(WriteFileAtomically(PathOf(seq), content));
  LR_ASSIGN_OR_RETURN(const std::vector<uint64_t> seqs, List());
  for (size_t i = kKept; i < seqs.size(); ++i) {
    std::error_code ignored;  // one too many does no harm
    fs::remove(PathOf(seqs[i]), ignored);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> SnapshotFiles::MoveAside(uint64_t seq) {
  const std::string path = PathOf(seq);
  std::string aside = absl::StrCat(path, ".damaged");
  for (int i = 2; fs::exists(aside); ++i) aside = absl::StrCat(path, ".damaged.", i);
  std::error_code error;
  fs::rename(path, aside, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot rename ", path));
  LR_RETURN_IF_ERROR(SyncFolder(folder_));
  return aside;
}

void SnapshotFiles::RemoveLeftovers() {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (absl::StartsWith(name, kPrefix) && absl::StrContains(name, ".tmp.")) {
      leftovers.push_back(it->path());
    }
  }
  for (const fs::path& path : leftovers) fs::remove(path, error);
}

}  // namespace longrun::control
