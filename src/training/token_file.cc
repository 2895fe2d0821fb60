#include "training/token_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace longrun::training {
namespace {

// The header, little endian: magic, u32 version, u32 bytes per token, then six u64: vocab size,
// token count, document count, tokenizer hash, checksum of the tokens, checksum of these 56 bytes.
constexpr size_t kHeaderBytes = 64;
constexpr char kMagic[] = "LRTOKENS";
constexpr uint32_t kVersion = 1;
constexpr int64_t kLargestShortVocab = 65536;
using Header = std::array<uint8_t, kHeaderBytes>;

template <class T>
void Store(T value, uint8_t* at) {
  for (size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<uint8_t>(value >> (8 * i));
}

template <class T>
T Load(const uint8_t* at) {
  T value = 0;
  for (size_t i = sizeof(T); i > 0; --i) value = static_cast<T>(value << 8 | at[i - 1]);
  return value;
}

Header ToHeader(const TokenFileInfo& info) {
  Header header;
  std::memcpy(header.data(), kMagic, 8);
  Store(kVersion, &header[8]);
  Store(static_cast<uint32_t>(info.token_bytes), &header[12]);
  Store(static_cast<uint64_t>(info.vocab_size), &header[16]);
  Store(static_cast<uint64_t>(info.token_count), &header[24]);
  Store(static_cast<uint64_t>(info.document_count), &header[32]);
  Store(info.tokenizer_hash, &header[40]);
  Store(info.data_checksum, &header[48]);
  Store(static_cast<uint64_t>(XXH3_64bits(header.data(), 56)), &header[56]);
  return header;
}

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(fmt::format("{}: {}; run longrun-worker prepare again", path, what));
}

absl::StatusOr<TokenFileInfo> FromHeader(const std::string& path, const uint8_t* header,
                                         int64_t file_bytes) {
  if (std::memcmp(header, kMagic, 8) != 0) return Damaged(path, "this is no file of tokens");
  if (const auto version = Load<uint32_t>(header + 8); version != kVersion) {
    return Damaged(path, fmt::format("written in version {} of the format; this program reads {}",
                                     version, kVersion));
  }
  if (Load<uint64_t>(header + 56) != XXH3_64bits(header, 56)) {
    return Damaged(path, "the header is damaged (its checksum does not match)");
  }
  TokenFileInfo info;
  info.token_bytes = static_cast<int>(Load<uint32_t>(header + 12));
  info.vocab_size = static_cast<int64_t>(Load<uint64_t>(header + 16));
  info.token_count = static_cast<int64_t>(Load<uint64_t>(header + 24));
  info.document_count = static_cast<int64_t>(Load<uint64_t>(header + 32));
  info.tokenizer_hash = Load<uint64_t>(header + 40);
  info.data_checksum = Load<uint64_t>(header + 48);
  int64_t bytes = 0;
  if ((info.token_bytes != 2 && info.token_bytes != 4) || info.vocab_size < 1 ||
      info.token_count < 0 ||
      __builtin_mul_overflow(info.token_count, int64_t{info.token_bytes}, &bytes)) {
    return Damaged(path, "the header says what cannot be");
  }
  if (bytes != file_bytes - static_cast<int64_t>(kHeaderBytes)) {
    return Damaged(path, fmt::format("{} bytes long, but {} tokens take {}", file_bytes,
                                     info.token_count, bytes + static_cast<int64_t>(kHeaderBytes)));
  }
  return info;
}

absl::Status SystemError(std::string_view doing, const std::string& path) {
  return absl::ErrnoToStatus(errno, fmt::format("cannot {} {}", doing, path));
}

}  // namespace

absl::StatusOr<TokenFile> TokenFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  TokenFile file;
  file.path_ = path;
  struct stat info = {};
  absl::Status status;
  if (::fstat(fd, &info) != 0) {
    status = SystemError("read", path);
  } else if (!S_ISREG(info.st_mode)) {
    status = absl::InvalidArgumentError(fmt::format("{} is no regular file", path));
  } else if (info.st_size < static_cast<off_t>(kHeaderBytes)) {
    status =
        Damaged(path, fmt::format("only {} bytes long, shorter than its header", info.st_size));
  } else {
    void* mapping =
        ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
      status = SystemError("map", path);
    } else {
      file.mapping_ = mapping;
      file.mapped_bytes_ = info.st_size;
    }
  }
  ::close(fd);
  LR_RETURN_IF_ERROR(status);
  LR_ASSIGN_OR_RETURN(
      file.info_, FromHeader(path, static_cast<const uint8_t*>(file.mapping_), file.mapped_bytes_));
  return file;
}

TokenFile::TokenFile(TokenFile&& other) noexcept { *this = std::move(other); }

TokenFile& TokenFile::operator=(TokenFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(info_, other.info_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  return *this;
}

TokenFile::~TokenFile() {
  if (mapping_ != nullptr) ::munmap(mapping_, static_cast<size_t>(mapped_bytes_));
}

absl::Status TokenFile::Read(int64_t offset, std::span<int64_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  if (offset < 0 || count > size() || offset > size() - count) {
    return absl::OutOfRangeError(fmt::format("{} holds {} tokens; {} from {} on are not there",
                                             path_, size(), count, offset));
  }
  const uint8_t* at =
      static_cast<const uint8_t*>(mapping_) + kHeaderBytes + offset * info_.token_bytes;
  int64_t largest = -1;
  for (int64_t& token : out) {
    token = info_.token_bytes == 2 ? Load<uint16_t>(at) : Load<uint32_t>(at);
    largest = std::max(largest, token);
    at += info_.token_bytes;
  }
  if (largest >= info_.vocab_size) {
    return Damaged(path_, fmt::format("token {} between {} and {} is not in the vocabulary of {}",
                                      largest, offset, offset + count, info_.vocab_size));
  }
  return absl::OkStatus();
}

absl::Status TokenFile::Verify() const {
  const uint8_t* data = static_cast<const uint8_t*>(mapping_) + kHeaderBytes;
  if (XXH3_64bits(data, static_cast<size_t>(mapped_bytes_) - kHeaderBytes) == info_.data_checksum) {
    return absl::OkStatus();
  }
  return Damaged(path_, "the tokens are damaged (their checksum does not match)");
}

struct TokenFileWriter::State {
  std::string path;
  std::string temporary;
  int fd = -1;
  TokenFileInfo info;
  XXH3_state_t* checksum = XXH3_createState();
  std::vector<uint8_t> buffer;

  ~State() {
    XXH3_freeState(checksum);
    if (fd < 0) return;
    ::close(fd);
    ::unlink(temporary.c_str());
  }

  absl::Status WriteAll(const uint8_t* data, size_t n, off_t at) const {
    while (n > 0) {
      const ssize_t written = ::pwrite(fd, data, n, at);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return SystemError("write", temporary);
      data += written;
      at += written;
      n -= static_cast<size_t>(written);
    }
    return absl::OkStatus();
  }

  // Writes what the buffer holds, which ends at the last token counted.
  absl::Status Flush() {
    XXH3_64bits_update(checksum, buffer.data(), buffer.size());
    const int64_t end = static_cast<int64_t>(kHeaderBytes) + info.token_count * info.token_bytes;
    const absl::Status status =
        WriteAll(buffer.data(), buffer.size(), end - static_cast<int64_t>(buffer.size()));
    buffer.clear();
    return status;
  }
};

TokenFileWriter::TokenFileWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenFileWriter::TokenFileWriter(TokenFileWriter&&) noexcept = default;
TokenFileWriter::~TokenFileWriter() = default;

absl::StatusOr<TokenFileWriter> TokenFileWriter::Create(const std::string& path, int64_t vocab_size,
                                                        uint64_t tokenizer_hash) {
  LR_CHECK_GT(vocab_size, 0);
  auto state = std::make_unique<State>();
  XXH3_64bits_reset(state->checksum);
  state->path = path;
  state->temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  state->info.token_bytes = vocab_size <= kLargestShortVocab ? 2 : 4;
  state->info.vocab_size = vocab_size;
  state->info.tokenizer_hash = tokenizer_hash;
  state->fd = ::open(state->temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (state->fd < 0) return SystemError("create", state->temporary);
  return TokenFileWriter(std::move(state));
}

absl::Status TokenFileWriter::AppendDocument(std::span<const model::TokenId> tokens) {
  constexpr size_t kBufferBytes = 1 << 20;
  State& s = *state_;
  LR_CHECK(s.fd >= 0);
  for (const model::TokenId token : tokens) {
    LR_CHECK(token >= 0 && token < s.info.vocab_size);
    for (int i = 0; i < s.info.token_bytes; ++i) {
      s.buffer.push_back(static_cast<uint8_t>(static_cast<uint32_t>(token) >> (8 * i)));
    }
    ++s.info.token_count;
    if (s.buffer.size() >= kBufferBytes) LR_RETURN_IF_ERROR(s.Flush());
  }
  ++s.info.document_count;
  return absl::OkStatus();
}

absl::StatusOr<TokenFileInfo> TokenFileWriter::Finish() {
  State& s = *state_;
  LR_CHECK(s.fd >= 0);
  LR_RETURN_IF_ERROR(s.Flush());
  s.info.data_checksum = XXH3_64bits_digest(s.checksum);
  const Header header = ToHeader(s.info);
  LR_RETURN_IF_ERROR(s.WriteAll(header.data(), header.size(), 0));
  if (::fsync(s.fd) != 0) return SystemError("flush", s.temporary);
  if (::rename(s.temporary.c_str(), s.path.c_str()) != 0) {
    return SystemError("rename to its final name", s.temporary);
  }
  ::close(std::exchange(s.fd, -1));
  const std::string folder = std::filesystem::path(s.path).parent_path().string();
  LR_RETURN_IF_ERROR(SyncFolder(folder.empty() ? "." : folder));
  return s.info;
}

}  // namespace longrun::training
