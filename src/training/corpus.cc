#include "training/corpus.h"

#include <fmt/core.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <utility>

#include "base/file.h"

namespace longrun::training {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLargestText = int64_t{64} << 30;

// strfile's index of a fortune file: X.dat beside X.
bool IsFortuneIndex(const fs::path& path) {
  std::error_code error;
  return path.extension() == ".dat" && fs::exists(fs::path(path).replace_extension(), error);
}

absl::StatusOr<std::vector<std::string>> FilesBelow(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  while (!error && it != fs::recursive_directory_iterator()) {
    const fs::path path = it->path();
    std::error_code ignored;
    if (path.filename().string().starts_with('.')) {
      if (it->is_directory(ignored)) it.disable_recursion_pending();
    } else if (it->is_regular_file(ignored) && !IsFortuneIndex(path)) {
      files.push_back(path.string());
    }
    it.increment(error);
  }
  if (error) return absl::ErrnoToStatus(error.value(), fmt::format("cannot read {}", folder));
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> FilesLike(const std::string& pattern) {
  std::vector<std::string> files;
  glob_t found = {};
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);  // sorted by glob
  }
  ::globfree(&found);
  return files;
}

absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& input) {
  std::error_code error;
  if (fs::is_directory(input, error)) return FilesBelow(input);
  if (fs::exists(input, error)) return std::vector<std::string>{input};
  std::vector<std::string> files;
  for (const std::string& match : FilesLike(input)) {
    if (!fs::is_directory(match, error)) {
      if (!IsFortuneIndex(match)) files.push_back(match);
      continue;
    }
    LR_ASSIGN_OR_RETURN(const std::vector<std::string> below, FilesBelow(match));
    files.insert(files.end(), below.begin(), below.end());
  }
  return files;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindTextFiles(const std::vector<std::string>& inputs) {
  if (inputs.empty()) {
    return absl::InvalidArgumentError("no text was named; files, folders or patterns are right");
  }
  std::vector<std::string> files;
  std::set<std::pair<dev_t, ino_t>> seen;  // links to one file lead to the same text
  for (const std::string& input : inputs) {
    LR_ASSIGN_OR_RETURN(const std::vector<std::string> found, FilesOf(input));
    if (found.empty()) {
      return absl::NotFoundError(fmt::format(
          "{} leads to no text: there is no such file, folder with files, or match", input));
    }
    for (const std::string& file : found) {
      struct stat info = {};
      if (::stat(file.c_str(), &info) != 0) {
        return absl::ErrnoToStatus(errno, fmt::format("cannot read {}", file));
      }
      if (seen.emplace(info.st_dev, info.st_ino).second) files.push_back(file);
    }
  }
  return files;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  LR_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kLargestText));
  if (IsBlank(text)) {
    return absl::InvalidArgumentError(
        fmt::format("{} is empty; a file with text is right, or leave it out", path));
  }
  if (const size_t nul = text.find('\0'); nul != std::string::npos) {
    return absl::InvalidArgumentError(fmt::format(
        "{} is binary (a NUL byte at offset {}); plain text is right, in UTF-8", path, nul));
  }
  return text;
}

void ForEachDocument(std::string_view text, const std::function<void(std::string_view)>& visit) {
  const auto take = [&](std::string_view document) {
    if (!IsBlank(document)) visit(document);
  };
  size_t begin = 0;  // of the document
  for (size_t line = 0; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    const std::string_view content = text.substr(line, end - line);
    const size_t next = std::min(end + 1, text.size());
    if (content == "%" || content == "%\r") {
      take(text.substr(begin, line - begin));
      begin = next;
    }
    line = next;
  }
  take(text.substr(begin));
}

}  // namespace longrun::training
