// CSV as people keep it: a header, commas, semicolons or tabs, quotes, a BOM, CRLF. Reads one
// record at a time, so that a file of any size takes the memory of its longest record. Every
// mistake names file, line and column.
//
//   CsvReader reader(stream, "runs.csv");
//   LR_RETURN_IF_ERROR(reader.ReadHeader());
//   LR_ASSIGN_OR_RETURN(const int loss, reader.Column("loss"));
//   while (true) {
//     LR_ASSIGN_OR_RETURN(const bool more, reader.Next());
//     if (!more) break;
//     LR_ASSIGN_OR_RETURN(const double value, reader.Number(loss));
//   }
//
// One thread; the stream is the caller's and outlives the reader.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "base/status.h"

namespace longrun::scaling {

inline constexpr size_t kCsvRecordLimit = 1 << 20;  // bytes of one record

class CsvReader {
 public:
  // `name`: how messages call the stream (a file's path).
  CsvReader(std::istream& in, std::string name) : in_(in), name_(std::move(name)) {}

  // Reads the first line that is not empty, and from it which separator is used. An error where
  // there is none, or where two columns have one name.
  absl::Status ReadHeader();
  const std::vector<std::string>& columns() const { return columns_; }
  // The column of that name; an error lists those there are.
  absl::StatusOr<int> Column(const std::string& name) const;

  // The next record; false at the end. Empty lines are skipped. A record with more or fewer fields
  // than the header is an error.
  absl::StatusOr<bool> Next();
  int64_t line() const { return record_line_; }  // where the record begins, from 1
  const std::string& Field(int column) const { return fields_[column]; }
  bool Empty(int column) const;  // nothing, or spaces alone
  // A finite number; an error names what stands there instead.
  absl::StatusOr<double> Number(int column) const;
  // A whole number of at least 0.
  absl::StatusOr<int64_t> Count(int column) const;

  // "runs.csv:17:3: loss: " and `what`; for mistakes of the caller's own finding.
  absl::Status Error(int column, const std::string& what) const;
  const std::string& name() const { return name_; }

 private:
  absl::StatusOr<bool> ReadRecord();
  bool ReadLine(std::string& line);
  absl::Status AtLine(const std::string& what) const;

  std::istream& in_;
  std::string name_;
  char separator_ = ',';
  std::vector<std::string> columns_;
  std::vector<std::string> fields_;
  int64_t line_ = 0;         // of the file, read so far
  int64_t record_line_ = 0;  // where the record begins
};

}  // namespace longrun::scaling
