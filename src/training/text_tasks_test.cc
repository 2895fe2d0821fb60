#include "training/text_tasks.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "base/file.h"
#include "model/tokenizer_files.h"
#include "training/token_file.h"

namespace longrun::training {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TextTasks : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("longrun_text_{}_{}", ::getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  void Put(const std::string& name, std::string_view content) const {
    std::ofstream(Path(name), std::ios::binary) << content;
  }

  // Numbered quotations, each with its own text.
  static std::string Quotations(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += fmt::format("Quotation number {}, it's said.\n%\n", i);
    return text;
  }

  static std::vector<std::string> DocumentsOf(const std::string& path,
                                              const model::Tokenizer& tokenizer) {
    const auto file = *TokenFile::Open(path);
    std::vector<int64_t> tokens(static_cast<size_t>(file.size()));
    EXPECT_TRUE(file.Read(0, tokens).ok());
    std::vector<std::string> documents(1);
    for (const int64_t token : tokens) {
      if (token == tokenizer.end_of_text()) {
        documents.emplace_back();
      } else {
        documents.back() += tokenizer.TokenBytes(static_cast<model::TokenId>(token));
      }
    }
    EXPECT_TRUE(documents.back().empty()) << "the last document has no end";
    documents.pop_back();
    return documents;
  }

  fs::path folder_;
};

TEST_F(TextTasks, EveryDocumentGoesToOneSide) {
  Put("quotes", Quotations(1000));
  const model::Tokenizer bytes = model::Tokenizer::Bytes();
  const auto prepared = PrepareText({{Path("quotes")}, 0.1, Path("out")}, bytes);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  const auto train = DocumentsOf(prepared->train_path, bytes);
  const auto held_out = DocumentsOf(prepared->validation_path, bytes);
  EXPECT_EQ(train.size(), static_cast<size_t>(prepared->train_documents));
  EXPECT_EQ(held_out.size(), static_cast<size_t>(prepared->validation_documents));
  EXPECT_EQ(train.size() + held_out.size(), 1000u);
  EXPECT_GT(held_out.size(), 50u);
  EXPECT_LT(held_out.size(), 150u);
  EXPECT_FALSE(prepared->cut_a_document);
  std::vector<std::string> all = train;
  all.insert(all.end(), held_out.begin(), held_out.end());
  std::vector<std::string> right;
  for (int i = 0; i < 1000; ++i)
    right.push_back(fmt::format("Quotation number {}, it's said.\n", i));
  EXPECT_THAT(all, ::testing::UnorderedElementsAreArray(right));
  EXPECT_EQ(TokenFile::Open(prepared->train_path)->info().tokenizer_hash, bytes.hash());
  EXPECT_TRUE(TokenFile::Open(prepared->train_path)->Verify().ok());
}

TEST_F(TextTasks, WhatIsHeldOutStaysHeldOutAsFilesCome) {
  const model::Tokenizer bytes = model::Tokenizer::Bytes();
  Put("quotes", Quotations(300));
  const auto before = *PrepareText({{Path("quotes")}, 0.1, Path("a")}, bytes);
  Put("more", "Another.\n%\nAnd one more.\n");
  const auto after = *PrepareText({{Path("more"), Path("quotes")}, 0.1, Path("b")}, bytes);
  const auto now = DocumentsOf(after.validation_path, bytes);
  EXPECT_THAT(now, ::testing::IsSupersetOf(DocumentsOf(before.validation_path, bytes)));
}

TEST_F(TextTasks, OfASingleDocumentTheEndIsHeldOut) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += fmt::format("Line {}.\n", i);
  Put("book", text);
  const model::Tokenizer bytes = model::Tokenizer::Bytes();
  const auto prepared = PrepareText({{Path("book")}, 0.1, Path("out")}, bytes);
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_TRUE(prepared->cut_a_document);
  const auto train = DocumentsOf(prepared->train_path, bytes);
  const auto held_out = DocumentsOf(prepared->validation_path, bytes);
  ASSERT_EQ(train.size(), 1u);
  ASSERT_EQ(held_out.size(), 1u);
  EXPECT_EQ(train[0] + held_out[0], text);
  EXPECT_TRUE(train[0].ends_with(".\n"));
  EXPECT_NEAR(static_cast<double>(held_out[0].size()), static_cast<double>(text.size()) * 0.1, 20);
}

TEST_F(TextTasks, NothingIsHeldOutWhereNothingIsAsked) {
  Put("book", "Some text.");
  const auto prepared = PrepareText({{Path("book")}, 0, Path("out")}, model::Tokenizer::Bytes({}));
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(prepared->train_tokens, 10);  // no <|endoftext|> in this vocabulary
  EXPECT_EQ(prepared->validation_path, "");
  EXPECT_FALSE(fs::exists(Path("out/validation.tokens")));
}

TEST_F(TextTasks, AFileThatCannotBeUsedIsFoundBeforeAnythingIsWritten) {
  Put("quotes", Quotations(10));
  Put("empty", "");
  Put("marks", "%\n%\n");
  const model::Tokenizer bytes = model::Tokenizer::Bytes();
  EXPECT_THAT(std::string(PrepareText({{Path("quotes"), Path("empty")}, 0.1, Path("out")}, bytes)
                              .status()
                              .message()),
              HasSubstr(Path("empty")));
  EXPECT_THAT(
      std::string(PrepareText({{Path("marks")}, 0.1, Path("out")}, bytes).status().message()),
      HasSubstr("no text but separators"));
  for (const double fraction : {1.0, -0.1, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_FALSE(PrepareText({{Path("quotes")}, fraction, Path("out")}, bytes).ok());
  }
  EXPECT_FALSE(fs::exists(Path("out")));
}

TEST_F(TextTasks, ATokenizerIsTrainedAndEncodesAndDecodes) {
  Put("quotes", Quotations(200));
  int64_t last = 0;
  const auto trained =
      TrainTokenizer({.inputs = {Path("quotes")}, .vocab_size = 280, .output_folder = Path("t")},
                     [&](int64_t done, int64_t total) {
                       EXPECT_EQ(done, ++last);
                       EXPECT_EQ(total, 23);
                     });
  ASSERT_TRUE(trained.ok()) << trained.status();
  EXPECT_EQ(trained->vocab_size, 280);
  EXPECT_EQ(last, 23);
  const auto ids = EncodeText(Path("t"), "Quotation said.<|endoftext|>", true);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_TRUE(ids->ends_with(" 279"));
  EXPECT_EQ(*DecodeText(Path("t"), *ids), "Quotation said.<|endoftext|>");
  EXPECT_FALSE(EncodeText(Path("t"), "<|endoftext|>", false)->ends_with("279"));
  EXPECT_THAT(std::string(DecodeText(Path("t"), "1 x 2").status().message()), HasSubstr("\"x\""));
  EXPECT_FALSE(DecodeText(Path("t"), "280").ok());
  EXPECT_EQ(*DecodeText(Path("t"), ""), "");
  EXPECT_FALSE(EncodeText(Path("none"), "x", false).ok());
}

}  // namespace
}  // namespace longrun::training
