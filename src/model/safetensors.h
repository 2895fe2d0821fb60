// Tensors in files, in the safetensors format: u64 little-endian N, N bytes of JSON
// {name: {dtype, shape, data_offsets: [begin, end]}}, then the data. Nothing here knows what a
// tensor library is: a tensor is a dtype, a shape and bytes (row-major, little endian).
//
// A SafetensorsFile maps its file read-only and owns the mapping; views are valid while it lives
// (it may be moved). Any thread may read. Files are replaced by rename, never written in place, so
// a mapping never changes under a reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace longrun::model {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t BytesOf(DType dtype);          // of one element
std::string_view NameOf(DType dtype);  // "F32"
absl::StatusOr<DType> ParseDType(std::string_view name);

struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;        // empty: a scalar
  std::span<const std::byte> bytes;  // product(shape) × BytesOf(dtype); may be unaligned in files
                                     // that others wrote
};

// The largest header that is read, as in the reference implementation.
inline constexpr int64_t kSafetensorsHeaderLimit = 100'000'000;

class SafetensorsFile {
 public:
  // Checks all of the header before anything is used: JSON, UTF-8, duplicate names, dtypes, shapes
  // against offsets, and that the tensors fill the data without overlap or hole. Errors name the
  // file and the tensor: DataLoss for a damaged file, NotFound for one that is missing.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
  ~SafetensorsFile();

  const std::string& path() const { return path_; }
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // NotFound names the file and the tensor.
  absl::StatusOr<TensorView> Get(const std::string& name) const;
  int64_t file_bytes() const { return mapped_bytes_; }

 private:
  SafetensorsFile() = default;

  std::string path_;
  void* mapping_ = nullptr;
  int64_t mapped_bytes_ = 0;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The weights of a model: one file, or a folder with model.safetensors or with
// model.safetensors.index.json and the shards it names.
class SafetensorsModel {
 public:
  // `path`: the folder or the file.
  static absl::StatusOr<SafetensorsModel> Open(const std::string& path);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  absl::StatusOr<TensorView> Get(const std::string& name) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorView> tensors_;  // into files_
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // must live until the write is done
};

struct WrittenFile {
  int64_t bytes = 0;
  uint64_t checksum = 0;  // XXH3-64 of the whole file
};

// Writes `path` through a temporary file beside it: flushed, then renamed over `path`, so that a
// crash leaves the old file or the new. Tensors are laid out by falling element size and else in
// the order given, so each is aligned to its elements. A full disk is a ResourceExhausted and
// leaves nothing.
absl::StatusOr<WrittenFile> WriteSafetensors(
    const std::string& path, std::span<const TensorToWrite> tensors,
    const std::map<std::string, std::string>& metadata = {});

// Size and checksum of a file that is there, to hold against what WriteSafetensors returned.
absl::StatusOr<WrittenFile> ChecksumFile(const std::string& path);

}  // namespace longrun::model
