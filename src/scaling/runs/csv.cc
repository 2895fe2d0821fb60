#include "scaling/runs/csv.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/nearest.h"

namespace longrun::scaling {
namespace {

constexpr char kByteOrderMark[] = "\xEF\xBB\xBF";
constexpr size_t kShown = 40;  // characters of a value in a message

// The one that stands most often outside quotes; of equals the one rarer in names.
char SeparatorOf(const std::string& header) {
  constexpr std::array<char, 3> candidates{'\t', ';', ','};
  std::array<int, 3> counts{};
  bool quoted = false;
  for (const char c : header) {
    if (c == '"') quoted = !quoted;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!quoted && c == candidates[i]) ++counts[i];
    }
  }
  return candidates[std::max_element(counts.begin(), counts.end()) - counts.begin()];
}

std::string Trimmed(const std::string& text) {
  return std::string(absl::StripAsciiWhitespace(text));
}

std::string Shown(const std::string& text) {
  const std::string trimmed = Trimmed(text);
  if (trimmed.size() <= kShown) return absl::StrCat("\"", trimmed, "\"");
  return absl::StrCat("\"", trimmed.substr(0, kShown), "…\"");
}

// What is probably meant by a value that is no number.
std::string NumberHint(const std::string& text) {
  if (text.find(',') != std::string::npos) return "; write 1234.5, without commas";
  double value = 0;
  if (text.size() > 1 && absl::SimpleAtod(text.substr(0, text.size() - 1), &value)) {
    return "; write the bare number, and the unit after the column's name (--params N:M)";
  }
  return "";
}

}  // namespace

bool CsvReader::ReadLine(std::string& line) {
  line.clear();
  std::streambuf* buffer = in_.rdbuf();
  int c = buffer->sbumpc();
  if (c == std::char_traits<char>::eof()) return false;
  // Longer lines are cut off just above the limit, which the caller then complains of.
  while (c != std::char_traits<char>::eof() && c != '\n' && line.size() <= kCsvRecordLimit) {
    line.push_back(static_cast<char>(c));
    c = buffer->sbumpc();
  }
  ++line_;
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line_ == 1 && line.rfind(kByteOrderMark, 0) == 0) line.erase(0, 3);
  return true;
}

absl::Status CsvReader::AtLine(const std::string& what) const {
  return absl::InvalidArgumentError(absl::StrCat(name_, ":", record_line_, ": ", what));
}

absl::StatusOr<bool> CsvReader::ReadRecord() {
  std::string line;
  do {
    if (!ReadLine(line)) return false;
  } while (absl::StripAsciiWhitespace(line).empty());
  record_line_ = line_;
  if (columns_.empty()) separator_ = SeparatorOf(line);
  fields_.clear();
  fields_.emplace_back();
  bool quoted = false;
  size_t size = 0;
  while (true) {
    size += line.size() + 1;
    if (size > kCsvRecordLimit) return AtLine("a record of more than 1 MiB; is this a CSV file?");
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (c == '\0') return AtLine("a zero byte; is this a CSV file in UTF-8?");
      if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
        fields_.back().push_back('"');
        ++i;
      } else if (c == '"' && (quoted || absl::StripAsciiWhitespace(fields_.back()).empty())) {
        quoted = !quoted;
      } else if (c == separator_ && !quoted) {
        fields_.emplace_back();
      } else {
        fields_.back().push_back(c);
      }
    }
    if (!quoted) return true;
    fields_.back().push_back('\n');
    if (!ReadLine(line)) return AtLine("a quote that is not closed before the end of the file");
  }
}

absl::Status CsvReader::ReadHeader() {
  LR_ASSIGN_OR_RETURN(const bool found, ReadRecord());
  if (!found) return absl::InvalidArgumentError(absl::StrCat(name_, ": the file is empty"));
  for (const std::string& field : fields_) columns_.push_back(Trimmed(field));
  for (size_t i = 0; i < columns_.size(); ++i) {
    const auto at = std::find(columns_.begin(), columns_.begin() + i, columns_[i]);
    if (at != columns_.begin() + i && !columns_[i].empty()) {
      return AtLine(absl::StrCat("two columns are called \"", columns_[i], "\"; rename one"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> CsvReader::Column(const std::string& name) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i] == name) return static_cast<int>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat(name_, ":1: there is no column \"", name,
                                                 "\"; there are: ", absl::StrJoin(columns_, ", "),
                                                 DidYouMean(name, columns_)));
}

absl::StatusOr<bool> CsvReader::Next() {
  LR_ASSIGN_OR_RETURN(const bool found, ReadRecord());
  if (!found) return false;
  if (fields_.size() != columns_.size()) {
    return AtLine(absl::StrCat(fields_.size(), " fields where the header has ", columns_.size()));
  }
  return true;
}

bool CsvReader::Empty(int column) const {
  return absl::StripAsciiWhitespace(fields_[column]).empty();
}

absl::StatusOr<double> CsvReader::Number(int column) const {
  const std::string text = Trimmed(fields_[column]);
  if (text.empty()) return Error(column, "empty, where a number is needed");
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) {
    return Error(column, absl::StrCat(Shown(text), " is no number", NumberHint(text)));
  }
  if (!std::isfinite(value)) return Error(column, absl::StrCat(Shown(text), " is not finite"));
  return value;
}

absl::StatusOr<int64_t> CsvReader::Count(int column) const {
  LR_ASSIGN_OR_RETURN(const double value, Number(column));
  constexpr double kExact = 9007199254740992;  // above it doubles are not every whole number
  if (value < 0 || value > kExact || value != std::floor(value)) {
    return Error(column, absl::StrCat(Shown(fields_[column]), " is no whole number of at least 0"));
  }
  return static_cast<int64_t>(value);
}

absl::Status CsvReader::Error(int column, const std::string& what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(name_, ":", record_line_, ":", column + 1, ": ", columns_[column], ": ", what));
}

}  // namespace longrun::scaling
