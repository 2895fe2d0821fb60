#include "training/token_file.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"

namespace longrun::training {
namespace {

namespace fs = std::filesystem;
using model::TokenId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("longrun_tokens_{}_{}", ::getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  TokenFileInfo Write(int64_t vocab, const std::vector<std::vector<TokenId>>& documents) const {
    auto writer = *TokenFileWriter::Create(Path("t"), vocab, 77);
    for (const auto& document : documents) EXPECT_TRUE(writer.AppendDocument(document).ok());
    const auto info = writer.Finish();
    EXPECT_TRUE(info.ok()) << info.status();
    return *info;
  }

  absl::Status OpenChanged(const std::string& content) const {
    std::ofstream(Path("changed"), std::ios::binary) << content;
    return TokenFile::Open(Path("changed")).status();
  }

  fs::path folder_;
};

TEST_F(TokenFileTest, WhatIsWrittenIsRead) {
  for (const int64_t vocab : {65536, 65537}) {
    const auto last = static_cast<TokenId>(vocab - 1);
    const TokenFileInfo written = Write(vocab, {{1, 2, last}, {}, {4}});
    EXPECT_EQ(written.token_bytes, vocab == 65536 ? 2 : 4);
    const auto file = TokenFile::Open(Path("t"));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->size(), 4);
    EXPECT_EQ(file->info().vocab_size, vocab);
    EXPECT_EQ(file->info().document_count, 3);
    EXPECT_EQ(file->info().tokenizer_hash, 77u);
    EXPECT_EQ(file->info().data_checksum, written.data_checksum);
    std::vector<int64_t> tokens(4);
    ASSERT_TRUE(file->Read(0, tokens).ok());
    EXPECT_THAT(tokens, ElementsAre(1, 2, last, 4));
    EXPECT_TRUE(file->Verify().ok());
  }
}

TEST_F(TokenFileTest, MoreTokensThanABufferHolds) {
  std::vector<TokenId> many(1'500'000);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<TokenId>(i * 7 % 1000);
  Write(1000, {{5}, many, {6}});
  const auto file = *TokenFile::Open(Path("t"));
  ASSERT_EQ(file.size(), 1'500'002);
  std::vector<int64_t> tokens(many.size());
  ASSERT_TRUE(file.Read(1, tokens).ok());
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), many.begin()));
  EXPECT_TRUE(file.Verify().ok());
}

TEST_F(TokenFileTest, ReadingPastTheEndIsRefused) {
  Write(10, {{1, 2, 3}});
  const auto file = *TokenFile::Open(Path("t"));
  std::vector<int64_t> two(2);
  EXPECT_TRUE(file.Read(1, two).ok());
  EXPECT_EQ(file.Read(2, two).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(file.Read(-1, two).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(file.Read(INT64_MAX, two).code(), absl::StatusCode::kOutOfRange);
}

TEST_F(TokenFileTest, AWriterThatDoesNotFinishLeavesNothingNew) {
  Write(10, {{1}});
  {
    auto writer = *TokenFileWriter::Create(Path("t"), 10, 77);
    ASSERT_TRUE(writer.AppendDocument(std::vector<TokenId>{2, 3}).ok());
  }
  EXPECT_EQ(TokenFile::Open(Path("t"))->size(), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(TokenFileTest, EveryDamageOfTheHeaderAndEveryCutIsSeen) {
  Write(10, {{1, 2, 3}});
  const std::string whole = *ReadFile(Path("t"));
  for (size_t bit = 0; bit < 64 * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(OpenChanged(flipped).code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(OpenChanged(whole.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
  }
  EXPECT_EQ(OpenChanged(whole + "x").code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(OpenChanged(whole + "x").message()), HasSubstr(Path("changed")));
  EXPECT_EQ(TokenFile::Open(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(TokenFile::Open(folder_.string()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TokenFileTest, DamagedTokensAreFoundAndNeverPassedOn) {
  Write(10, {{1, 2, 3}});
  std::string content = *ReadFile(Path("t"));
  content[64 + 2] = 11;  // the second token, beyond the vocabulary of 10
  ASSERT_TRUE(OpenChanged(content).ok());
  const auto file = *TokenFile::Open(Path("changed"));
  EXPECT_EQ(file.Verify().code(), absl::StatusCode::kDataLoss);
  std::vector<int64_t> tokens(3);
  EXPECT_EQ(file.Read(0, tokens).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace longrun::training
