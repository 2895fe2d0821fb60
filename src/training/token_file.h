// Text as tokens on disk: a header of 64 bytes, then the tokens, 2 or 4 bytes each, little endian.
// A TokenFile maps its file read-only (any thread may read; it may be moved); a TokenFileWriter
// belongs to one thread and publishes its file by rename.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/tokenizer.h"

namespace longrun::training {

struct TokenFileInfo {
  int token_bytes = 2;     // 2 (vocabularies up to 65,536) or 4
  int64_t vocab_size = 0;  // every token is below it
  int64_t token_count = 0;
  int64_t document_count = 0;
  uint64_t tokenizer_hash = 0;  // model::Tokenizer::hash()
  uint64_t data_checksum = 0;   // XXH3-64 of the tokens' bytes
};

class TokenFile {
 public:
  // Checks magic, version, the header's checksum and the file's size. DataLoss names the file.
  static absl::StatusOr<TokenFile> Open(const std::string& path);

  TokenFile(TokenFile&&) noexcept;
  TokenFile& operator=(TokenFile&&) noexcept;
  ~TokenFile();

  const std::string& path() const { return path_; }
  const TokenFileInfo& info() const { return info_; }
  int64_t size() const { return info_.token_count; }

  // Copies tokens [offset, offset + out.size()), widened to 64 bits. OutOfRange past the end;
  // DataLoss where a token is not below vocab_size.
  absl::Status Read(int64_t offset, std::span<int64_t> out) const;
  // Reads all tokens and holds them against the checksum.
  absl::Status Verify() const;

 private:
  TokenFile() = default;

  std::string path_;
  TokenFileInfo info_;
  void* mapping_ = nullptr;
  int64_t mapped_bytes_ = 0;
};

class TokenFileWriter {
 public:
  static absl::StatusOr<TokenFileWriter> Create(const std::string& path, int64_t vocab_size,
                                                uint64_t tokenizer_hash);
  TokenFileWriter(TokenFileWriter&&) noexcept;
  TokenFileWriter& operator=(TokenFileWriter&&) = delete;
  ~TokenFileWriter();  // without Finish: nothing is left behind

  // Tokens must be in [0, vocab_size).
  absl::Status AppendDocument(std::span<const model::TokenId> tokens);
  // Flushes to disk and renames to `path`. Nothing may be appended after.
  absl::StatusOr<TokenFileInfo> Finish();

 private:
  struct State;
  explicit TokenFileWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace longrun::training
