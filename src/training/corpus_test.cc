#include "training/corpus.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace longrun::training {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Corpus : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("longrun_corpus_{}_{}", ::getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  void Put(const std::string& name, std::string_view content) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
  }
  fs::path folder_;
};

std::vector<std::string> Documents(std::string_view text) {
  std::vector<std::string> documents;
  ForEachDocument(text, [&](std::string_view document) { documents.emplace_back(document); });
  return documents;
}

TEST(ForEachDocument, AFileIsOneAndEachQuotationOfFortuneIsOne) {
  EXPECT_THAT(Documents("all\nof 100%\n%it\n"), ElementsAre("all\nof 100%\n%it\n"));
  EXPECT_THAT(Documents("one\n%\ntwo\nlines\n%\n"), ElementsAre("one\n", "two\nlines\n"));
  EXPECT_THAT(Documents("%\none\r\n%\r\ntwo"), ElementsAre("one\r\n", "two"));
  EXPECT_THAT(Documents("one\n%\n \n%\n%\ntwo\n%"), ElementsAre("one\n", "two\n"));
  EXPECT_THAT(Documents("%\n%"), ElementsAre());
  EXPECT_THAT(Documents(""), ElementsAre());
}

TEST_F(Corpus, FilesFoldersAndPatterns) {
  Put("a.txt", "a");
  Put("b.txt", "b");
  Put("deep/c.txt", "c");
  Put("deep/.hidden", "h");
  Put("deep/.git/x", "x");
  Put("deep/wit", "w");
  Put("deep/wit.dat", "index");
  Put("deep/own.dat", "d");
  fs::create_symlink("wit", Path("deep/wit.u8"));
  EXPECT_THAT(*FindTextFiles({Path("a.txt")}), ElementsAre(Path("a.txt")));
  EXPECT_THAT(*FindTextFiles({Path("*.txt"), Path("a.txt")}),
              ElementsAre(Path("a.txt"), Path("b.txt")));
  EXPECT_THAT(*FindTextFiles({Path("deep")}),
              ElementsAre(Path("deep/c.txt"), Path("deep/own.dat"), Path("deep/wit")));
  EXPECT_THAT(*FindTextFiles({Path("de?p")}),
              ElementsAre(Path("deep/c.txt"), Path("deep/own.dat"), Path("deep/wit")));
}

TEST_F(Corpus, WhatLeadsToNoTextIsNamed) {
  EXPECT_EQ(FindTextFiles({Path("none.txt")}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(FindTextFiles({Path("*.txt")}).status().message()),
              HasSubstr(Path("*.txt")));
  EXPECT_EQ(FindTextFiles({folder_.string()}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindTextFiles({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Corpus, EmptyAndBinaryFilesAreNamed) {
  Put("empty", "");
  Put("blank", " \n\t\n");
  Put("binary", std::string("text\0more", 9));
  for (const char* name : {"empty", "blank"}) {
    const absl::Status status = ReadText(Path(name)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(Path(name) + " is empty"));
  }
  EXPECT_THAT(std::string(ReadText(Path("binary")).status().message()),
              HasSubstr("binary is binary (a NUL byte at offset 4)"));
  Put("latin1", "caf\xE9");
  EXPECT_EQ(*ReadText(Path("latin1")), "caf\xE9");
}

}  // namespace
}  // namespace longrun::training
