#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/file.h"
#include "model/safetensors.h"
#include "model/safetensors_header.h"
#include "model/view_hash.h"

namespace longrun::model {
namespace {

// Hashed while it is warm in the cache, then written.
constexpr size_t kPieceBytes = 1 << 20;

class RunningChecksum {
 public:
  RunningChecksum() : state_(XXH3_createState()) { XXH3_64bits_reset(state_.get()); }
  void Add(std::span<const std::byte> bytes) {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
    bytes_ += static_cast<int64_t>(bytes.size());
  }
  WrittenFile Result() const { return {bytes_, XXH3_64bits_digest(state_.get())}; }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
  int64_t bytes_ = 0;
};

// A file that takes its name only once it is whole and on disk.
class NewFile {
 public:
  explicit NewFile(const std::string& path)
      : path_(path), temporary_(fmt::format("{}.{}.tmp", path, ::getpid())) {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }

  absl::Status Create() {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd_ < 0 ? Failed("create") : absl::OkStatus();
  }

  absl::Status Write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::span<const std::byte> piece = bytes.first(std::min(kPieceBytes, bytes.size()));
      checksum_.Add(piece);
      LR_RETURN_IF_ERROR(WritePiece(piece));
      bytes = bytes.subspan(piece.size());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<WrittenFile> Publish() {
    if (::fsync(fd_) != 0) return Failed("flush");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return Failed("rename to its final name");
    ::close(std::exchange(fd_, -1));
    const std::string folder = std::filesystem::path(path_).parent_path().string();
    LR_RETURN_IF_ERROR(SyncFolder(folder.empty() ? "." : folder));
    return checksum_.Result();
  }

 private:
  absl::Status WritePiece(std::span<const std::byte> piece) {
    while (!piece.empty()) {
      const ssize_t n = ::write(fd_, piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Failed("write");
      piece = piece.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status Failed(std::string_view doing) const {
    return absl::ErrnoToStatus(errno, fmt::format("cannot {} {}", doing, temporary_));
  }

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  RunningChecksum checksum_;
};

absl::Status CheckTensors(std::span<const TensorToWrite> tensors) {
  ViewSet names;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t bytes = TensorBytes(tensor.dtype, tensor.shape);
    if (bytes != static_cast<int64_t>(tensor.bytes.size())) {
      return absl::InvalidArgumentError(
          fmt::format("tensor \"{}\": its shape takes {} bytes, but {} were given", tensor.name,
                      bytes, tensor.bytes.size()));
    }
    if (tensor.name.empty() || tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" cannot name a tensor, or names two", tensor.name));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WrittenFile> WriteSafetensors(const std::string& path,
                                             std::span<const TensorToWrite> tensors,
                                             const std::map<std::string, std::string>& metadata) {
  LR_RETURN_IF_ERROR(CheckTensors(tensors));
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return BytesOf(a->dtype) > BytesOf(b->dtype);
  });
  SafetensorsHeader header{.tensors = {}, .metadata = metadata};
  int64_t offset = 0;
  for (const TensorToWrite* tensor : order) {
    const int64_t end = offset + static_cast<int64_t>(tensor->bytes.size());
    header.tensors.push_back({tensor->name, {tensor->dtype, tensor->shape, offset, end}});
    offset = end;
  }
  LR_ASSIGN_OR_RETURN(const std::string json, FormatSafetensorsHeader(header));
  if (static_cast<int64_t>(json.size()) > kSafetensorsHeaderLimit) {
    return absl::InvalidArgumentError(
        fmt::format("{}: the header would have {} bytes; readers take at most {}", path,
                    json.size(), kSafetensorsHeaderLimit));
  }
  std::byte length[sizeof(uint64_t)];
  for (size_t i = 0; i < sizeof length; ++i)
    length[i] = static_cast<std::byte>(json.size() >> (8 * i));
  NewFile file(path);
  LR_RETURN_IF_ERROR(file.Create());
  LR_RETURN_IF_ERROR(file.Write(length));
  LR_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(json))));
  for (const TensorToWrite* tensor : order) LR_RETURN_IF_ERROR(file.Write(tensor->bytes));
  return file.Publish();
}

absl::StatusOr<WrittenFile> ChecksumFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, fmt::format("cannot open {}", path));
  RunningChecksum checksum;
  std::vector<std::byte> piece(kPieceBytes);
  ssize_t n = 0;
  while ((n = ::read(fd, piece.data(), piece.size())) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    checksum.Add({piece.data(), static_cast<size_t>(n)});
  }
  const int error = errno;
  ::close(fd);
  if (n < 0) return absl::ErrnoToStatus(error, fmt::format("cannot read {}", path));
  return checksum.Result();
}

}  // namespace longrun::model
