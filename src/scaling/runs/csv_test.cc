#include "scaling/runs/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;

// All fields of a text, header first; or the message of the first mistake.
std::vector<std::vector<std::string>> Rows(const std::string& text, std::string* error = nullptr) {
  std::istringstream in(text);
  CsvReader reader(in, "runs.csv");
  std::vector<std::vector<std::string>> rows;
  absl::Status status = reader.ReadHeader();
  if (status.ok()) rows.push_back(reader.columns());
  while (status.ok()) {
    const absl::StatusOr<bool> more = reader.Next();
    status = more.status();
    if (!status.ok() || !*more) break;
    std::vector<std::string>& row = rows.emplace_back();
    for (size_t i = 0; i < reader.columns().size(); ++i) row.push_back(reader.Field(i));
  }
  if (error != nullptr) *error = std::string(status.message());
  return rows;
}

std::string ErrorOf(const std::string& text) {
  std::string error;
  Rows(text, &error);
  return error;
}

// The message that the first data record's first column gives when read as a number.
std::string NumberError(const std::string& value) {
  std::istringstream in("a;b\n" + value + ";0\n");
  CsvReader reader(in, "runs.csv");
  EXPECT_TRUE(reader.ReadHeader().ok());
  EXPECT_TRUE(reader.Next().value());
  return std::string(reader.Number(0).status().message());
}

TEST(CsvTest, SeparatorsQuotesMarksAndLineEndsMakeNoDifference) {
  const std::vector<std::vector<std::string>> right{{"a", "b, c"}, {"1", "say \"x\"\nand y"}};
  EXPECT_EQ(Rows("a,\"b, c\"\n1,\"say \"\"x\"\"\nand y\"\n"), right);
  EXPECT_EQ(Rows("\xEF\xBB\xBF"
                 "a;\"b, c\"\r\n\r\n1;\"say \"\"x\"\"\r\nand y\"\r\n"),
            right);
  EXPECT_EQ(Rows("a\tb, c\n1\t\"say \"\"x\"\"\nand y\""), right);
}

TEST(CsvTest, MistakesNameFileLineAndColumn) {
  EXPECT_EQ(ErrorOf(""), "runs.csv: the file is empty");
  EXPECT_EQ(ErrorOf("a,b\n1,2\n\n1\n"), "runs.csv:4: 1 fields where the header has 2");
  EXPECT_THAT(ErrorOf("a,a\n"), HasSubstr("two columns are called \"a\""));
  EXPECT_THAT(ErrorOf("a,b\n1,\"2\n3,4\n"), HasSubstr("runs.csv:2: a quote that is not closed"));
  EXPECT_THAT(ErrorOf(std::string("a,b\n1,\0\n", 8)), HasSubstr("zero byte"));
  EXPECT_THAT(NumberError("12x"), HasSubstr("runs.csv:2:1: a: \"12x\" is no number"));
  EXPECT_THAT(NumberError("70B"), HasSubstr("unit after the column's name"));
  EXPECT_THAT(NumberError("1,5"), HasSubstr("without commas"));
  EXPECT_THAT(NumberError("nan"), HasSubstr("not finite"));
  EXPECT_THAT(NumberError("-inf"), HasSubstr("not finite"));
  EXPECT_THAT(NumberError(" "), HasSubstr("empty"));
}

TEST(CsvTest, AMissingColumnSaysWhichExist) {
  std::istringstream in("Model Size,loss\n");
  CsvReader reader(in, "runs.csv");
  ASSERT_TRUE(reader.ReadHeader().ok());
  EXPECT_EQ(reader.Column("loss").value(), 1);
  EXPECT_EQ(reader.Column("los").status().message(),
            "runs.csv:1: there is no column \"los\"; there are: Model Size, loss; did you mean "
            "\"loss\"?");
}

TEST(CsvTest, ARecordIsBounded) {
  EXPECT_THAT(ErrorOf("a\n" + std::string(kCsvRecordLimit + 2, 'x') + "\n"),
              HasSubstr("more than 1 MiB"));
}

TEST(CsvTest, CountsAreWhole) {
  std::istringstream in("a\n3\n3.5\n-1\n1e300\n");
  CsvReader reader(in, "runs.csv");
  ASSERT_TRUE(reader.ReadHeader().ok());
  ASSERT_TRUE(reader.Next().value());
  EXPECT_EQ(reader.Count(0).value(), 3);
  while (reader.Next().value()) EXPECT_FALSE(reader.Count(0).ok()) << reader.Field(0);
}

}  // namespace
}  // namespace longrun::scaling
