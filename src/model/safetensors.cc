#include "model/safetensors.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "model/safetensors_header.h"

namespace longrun::model {
namespace {

struct DTypeFacts {
  DType dtype;
  std::string_view name;
  int64_t bytes;
};
constexpr std::array<DTypeFacts, 10> kDTypes = {{{DType::kF64, "F64", 8},
                                                 {DType::kF32, "F32", 4},
                                                 {DType::kF16, "F16", 2},
                                                 {DType::kBF16, "BF16", 2},
                                                 {DType::kI64, "I64", 8},
                                                 {DType::kI32, "I32", 4},
                                                 {DType::kI16, "I16", 2},
                                                 {DType::kI8, "I8", 1},
                                                 {DType::kU8, "U8", 1},
                                                 {DType::kBool, "BOOL", 1}}};

const DTypeFacts& FactsOf(DType dtype) {
  const DTypeFacts& facts = kDTypes[static_cast<size_t>(dtype)];
  LR_CHECK(facts.dtype == dtype);
  return facts;
}

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(fmt::format("{}: {}", path, what));
}

uint64_t ReadLittleEndian64(const std::byte* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
  return value;
}

struct Mapping {
  void* address = nullptr;
  int64_t bytes = 0;
};

absl::StatusOr<Mapping> MapFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, fmt::format("cannot open {}", path));
  struct stat info = {};
  absl::StatusOr<Mapping> result = Mapping{};
  if (::fstat(fd, &info) != 0) {
    result = absl::ErrnoToStatus(errno, fmt::format("cannot read {}", path));
  } else if (!S_ISREG(info.st_mode)) {
    result = absl::InvalidArgumentError(fmt::format("{} is no regular file", path));
  } else if (info.st_size < static_cast<off_t>(sizeof(uint64_t))) {
    result = Damaged(path, fmt::format("only {} bytes long; a safetensors file begins with the 8 "
                                       "bytes of its header's length",
                                       info.st_size));
  } else {
    result->bytes = info.st_size;
    result->address =
        ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (result->address == MAP_FAILED) {
      result = absl::ErrnoToStatus(errno, fmt::format("cannot map {}", path));
    }
  }
  ::close(fd);
  return result;
}

}  // namespace

int64_t BytesOf(DType dtype) { return FactsOf(dtype).bytes; }

std::string_view NameOf(DType dtype) { return FactsOf(dtype).name; }

absl::StatusOr<DType> ParseDType(std::string_view name) {
  for (const DTypeFacts& facts : kDTypes) {
    if (facts.name == name) return facts.dtype;
  }
  return absl::InvalidArgumentError(fmt::format(
      "unknown dtype \"{}\"; F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL are known", name));
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  LR_ASSIGN_OR_RETURN(const Mapping mapping, MapFile(path));
  SafetensorsFile file;
  file.path_ = path;
  file.mapping_ = mapping.address;
  file.mapped_bytes_ = mapping.bytes;
  const auto* bytes = static_cast<const std::byte*>(mapping.address);
  const uint64_t header_bytes = ReadLittleEndian64(bytes);
  if (header_bytes > static_cast<uint64_t>(kSafetensorsHeaderLimit)) {
    return Damaged(path,
                   fmt::format("says its header has {} bytes; at most {} are allowed, so this "
                               "is no safetensors file or it is damaged",
                               header_bytes, kSafetensorsHeaderLimit));
  }
  const int64_t data_begin = static_cast<int64_t>(sizeof(uint64_t) + header_bytes);
  if (data_begin > mapping.bytes) {
    return Damaged(path, fmt::format("truncated: {} bytes long, but its header ends at byte {}",
                                     mapping.bytes, data_begin));
  }
  const std::string_view json(reinterpret_cast<const char*>(bytes) + sizeof(uint64_t),
                              header_bytes);
  LR_ASSIGN_OR_RETURN(SafetensorsHeader header,
                      ParseSafetensorsHeader(json, mapping.bytes - data_begin, path));
  for (auto& [name, place] : header.tensors) {
    file.tensors_[name] = {place.dtype,
                           std::move(place.shape),
                           {bytes + data_begin + place.begin, bytes + data_begin + place.end}};
  }
  file.metadata_ = std::move(header.metadata);
  return file;
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept { *this = std::move(other); }

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(tensors_, other.tensors_);
  std::swap(metadata_, other.metadata_);
  return *this;
}

SafetensorsFile::~SafetensorsFile() {
  if (mapping_ != nullptr) ::munmap(mapping_, static_cast<size_t>(mapped_bytes_));
}

absl::StatusOr<TensorView> SafetensorsFile::Get(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    return absl::NotFoundError(fmt::format("{} holds no tensor \"{}\"", path_, name));
  }
  return it->second;
}

}  // namespace longrun::model
