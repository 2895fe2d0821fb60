#include "model/safetensors.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"

namespace longrun::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SafetensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              fmt::format("longrun_safetensors_{}_{}", ::getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  void Put(const std::string& name, std::string_view content) const {
    std::ofstream(Path(name), std::ios::binary) << content;
  }

  // A file of this header and `data_bytes` zeros.
  std::string FileOf(const std::string& header, size_t data_bytes) const {
    std::string content;
    for (int i = 0; i < 8; ++i) content.push_back(static_cast<char>(header.size() >> (8 * i)));
    Put("hostile", content + header + std::string(data_bytes, '\0'));
    return Path("hostile");
  }

  // What opening a file of this header says.
  std::string ErrorOf(const std::string& header, size_t data_bytes) const {
    const auto file = SafetensorsFile::Open(FileOf(header, data_bytes));
    EXPECT_FALSE(file.ok());
    EXPECT_EQ(file.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(Path("hostile")));
    return std::string(file.status().message());
  }

  fs::path folder_;
};

template <class T>
std::span<const std::byte> BytesOfVector(const std::vector<T>& v) {
  return std::as_bytes(std::span(v));
}

TEST_F(SafetensorsTest, WhatIsWrittenIsRead) {
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  const std::vector<uint8_t> mask = {1, 0, 1};
  const std::vector<int64_t> step = {7};
  const std::vector<TensorToWrite> tensors = {
      {"mask", DType::kBool, {3}, BytesOfVector(mask)},
      {"weights \"ü\"", DType::kF32, {2, 3}, BytesOfVector(weights)},
      {"nothing", DType::kBF16, {4, 0}, {}},
      {"step", DType::kI64, {}, BytesOfVector(step)}};
  const auto written = WriteSafetensors(Path("a.safetensors"), tensors, {{"format", "pt"}});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->bytes, static_cast<int64_t>(fs::file_size(Path("a.safetensors"))));
  const auto again = ChecksumFile(Path("a.safetensors"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->checksum, written->checksum);
  EXPECT_EQ(again->bytes, written->bytes);

  const auto file = SafetensorsFile::Open(Path("a.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  for (const TensorToWrite& tensor : tensors) {
    const auto view = file->Get(tensor.name);
    ASSERT_TRUE(view.ok());
    EXPECT_EQ(view->dtype, tensor.dtype);
    EXPECT_EQ(view->shape, tensor.shape);
    ASSERT_EQ(view->bytes.size(), tensor.bytes.size());
    EXPECT_TRUE(std::equal(view->bytes.begin(), view->bytes.end(), tensor.bytes.begin()));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view->bytes.data()) % BytesOf(tensor.dtype), 0u);
  }
  EXPECT_EQ(file->Get("bias").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "a temporary file is left";
}

TEST_F(SafetensorsTest, AFileWithoutTensors) {
  ASSERT_TRUE(WriteSafetensors(Path("empty"), {}).ok());
  const auto file = SafetensorsFile::Open(Path("empty"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->tensors().empty());
}

TEST_F(SafetensorsTest, AViewOutlivesAMoveOfItsFile) {
  const std::vector<float> weights = {1, 2};
  ASSERT_TRUE(
      WriteSafetensors(Path("a"), {{TensorToWrite{"w", DType::kF32, {2}, BytesOfVector(weights)}}})
          .ok());
  auto opened = SafetensorsFile::Open(Path("a"));
  ASSERT_TRUE(opened.ok());
  const TensorView view = *opened->Get("w");
  const SafetensorsFile moved = *std::move(opened);
  float second = 0;
  std::memcpy(&second, view.bytes.data() + 4, 4);
  EXPECT_EQ(second, 2);
  EXPECT_TRUE(moved.Get("w").ok());
}

TEST_F(SafetensorsTest, WritingRefusesWhatNoReaderCouldTake) {
  const std::vector<float> w = {1, 2};
  const auto write = [&](std::vector<TensorToWrite> tensors) {
    return WriteSafetensors(Path("bad"), tensors).status().code();
  };
  EXPECT_EQ(write({{"w", DType::kF32, {3}, BytesOfVector(w)}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      write({{"w", DType::kF32, {2}, BytesOfVector(w)}, {"w", DType::kF32, {2}, BytesOfVector(w)}}),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(write({{"\xff", DType::kF32, {2}, BytesOfVector(w)}}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(write({{"__metadata__", DType::kF32, {2}, BytesOfVector(w)}}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(Path("bad")));
}

TEST_F(SafetensorsTest, AFullDiskIsSaidAndLeavesNothing) {
  if (!fs::exists("/dev/full")) GTEST_SKIP();
  // The temporary name leads to a device that is always full.
  const std::string path = Path("full");
  fs::create_symlink("/dev/full", fmt::format("{}.{}.tmp", path, ::getpid()));
  const std::vector<float> w = {1, 2};
  const auto written =
      WriteSafetensors(path, {{TensorToWrite{"w", DType::kF32, {2}, BytesOfVector(w)}}});
  EXPECT_EQ(written.status().code(), absl::StatusCode::kResourceExhausted) << written.status();
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(SafetensorsTest, AMissingFolderIsNamed) {
  EXPECT_THAT(std::string(WriteSafetensors(Path("no/such"), {}).status().message()),
              HasSubstr(Path("no/such")));
  EXPECT_EQ(SafetensorsFile::Open(Path("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SafetensorsTest, ShapesAndOffsetsMustAgree) {
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
              HasSubstr("tensor \"w\": F32 [2] takes 8 bytes, but its offsets span 4"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
              HasSubstr("not within the data of 4 bytes"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8),
              HasSubstr("not within"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8),
              HasSubstr("tensor \"w\": unknown dtype \"F31\""));
}

TEST_F(SafetensorsTest, OverlapsAndHolesAreRefused) {
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                          "b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                      6),
              HasSubstr("tensor \"b\" at offset 2 overlaps tensor \"a\""));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                          "b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                      4),
              HasSubstr("overlaps"));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                          "b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
                      5),
              HasSubstr("offsets 2 to 3, before tensor \"b\", belong to no tensor"));
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 5),
              HasSubstr("end at offset 2, but the data has 5 bytes"));
}

TEST_F(SafetensorsTest, AbsurdShapesAreRefused) {
  EXPECT_THAT(
      ErrorOf(R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
      HasSubstr("takes over 2^63 bytes"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
              HasSubstr("a negative number"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4),
              HasSubstr("1.5"));
  EXPECT_THAT(
      ErrorOf(R"({"w":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4),
      HasSubstr("beyond 2^63"));
  std::string many = "1";
  for (int i = 0; i < 100; ++i) many += ",1";
  EXPECT_THAT(
      ErrorOf(fmt::format(R"({{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,4]}}}})", many),
              4),
      HasSubstr("over 64 numbers"));
}

TEST_F(SafetensorsTest, HeadersThatAreNotWhatTheyShouldBe) {
  const std::string one = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_THAT(ErrorOf("{\"w\":" + one + ",\"w\":" + one + "}", 1),
              HasSubstr("tensor \"w\": it stands twice"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("\"dtype\" stands twice"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("are needed"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1),
              HasSubstr("must be [begin, end]"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1),
              HasSubstr("a list stands"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"U8","shape":{},"data_offsets":[0,1]}})", 1),
              HasSubstr("an object stands"));
  EXPECT_THAT(ErrorOf(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1),
              HasSubstr("unknown field \"x\""));
  EXPECT_THAT(ErrorOf(R"({"__metadata__":{"a":1}})", 0),
              HasSubstr("a number stands where text belongs"));
  EXPECT_THAT(ErrorOf("[]", 0), HasSubstr("where an object belongs"));
  EXPECT_THAT(ErrorOf("", 0), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("{\"\xff\":" + one + "}", 1), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("{\"w\":" + one + "} x", 1), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf(std::string(1 << 20, '['), 0), HasSubstr("a list stands"));
}

TEST_F(SafetensorsTest, AbsurdLengthsOfTheHeaderAreRefused) {
  Put("huge", std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
  EXPECT_THAT(std::string(SafetensorsFile::Open(Path("huge")).status().message()),
              HasSubstr("at most 100000000"));
  Put("long", std::string("\x10\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(std::string(SafetensorsFile::Open(Path("long")).status().message()),
              HasSubstr("truncated"));
  Put("short", "abc");
  EXPECT_THAT(std::string(SafetensorsFile::Open(Path("short")).status().message()),
              HasSubstr("only 3 bytes"));
  Put("none", "");
  EXPECT_EQ(SafetensorsFile::Open(Path("none")).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(SafetensorsFile::Open(folder_.string()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// However a file is cut off or its header changed, opening it is refused or gives views within it.
TEST_F(SafetensorsTest, DamageNeverLeadsOutOfTheFile) {
  const std::vector<float> weights(64, 1.5f);
  ASSERT_TRUE(
      WriteSafetensors(Path("whole"),
                       {{TensorToWrite{"a", DType::kF32, {4, 8}, BytesOfVector(weights).first(128)},
                         TensorToWrite{"b", DType::kF32, {32}, BytesOfVector(weights).last(128)}}})
          .ok());
  const std::string whole = *ReadFile(Path("whole"));
  for (size_t size = 0; size < whole.size(); ++size) {
    Put("cut", std::string_view(whole).substr(0, size));
    EXPECT_EQ(SafetensorsFile::Open(Path("cut")).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
  const size_t header = whole.size() - 256;
  for (size_t bit = 0; bit < header * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    Put("flipped", flipped);
    const auto file = SafetensorsFile::Open(Path("flipped"));
    if (!file.ok()) continue;  // a flipped letter of a name is a name
    int64_t bytes = 0;
    for (const auto& [name, view] : file->tensors())
      bytes += static_cast<int64_t>(view.bytes.size());
    EXPECT_EQ(bytes, 256);
    EXPECT_NE(ChecksumFile(Path("flipped"))->checksum, ChecksumFile(Path("whole"))->checksum);
  }
}

TEST_F(SafetensorsTest, AFolderOfShards) {
  const std::vector<float> w = {1, 2};
  const std::vector<float> v = {3};
  ASSERT_TRUE(WriteSafetensors(Path("model-1.safetensors"),
                               {{TensorToWrite{"w", DType::kF32, {2}, BytesOfVector(w)}}})
                  .ok());
  ASSERT_TRUE(WriteSafetensors(Path("model-2.safetensors"),
                               {{TensorToWrite{"v", DType::kF32, {1}, BytesOfVector(v)}}})
                  .ok());
  const auto index = [&](const std::string& text) {
    Put("model.safetensors.index.json", text);
    return SafetensorsModel::Open(folder_.string());
  };
  auto model = index(
      R"({"metadata":{},"weight_map":{"w":"model-1.safetensors","v":"model-2.safetensors"}})");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->tensors().size(), 2u);
  EXPECT_EQ(model->Get("v")->bytes.size(), 4u);
  const std::string missing(model->Get("u").status().message());
  EXPECT_THAT(missing, HasSubstr("\"u\""));

  EXPECT_THAT(
      std::string(index(R"({"weight_map":{"v":"model-1.safetensors"}})").status().message()),
      HasSubstr("model-1.safetensors holds no tensor \"v\""));
  EXPECT_THAT(std::string(index(R"({"weight_map":{"v":"../v"}})").status().message()),
              HasSubstr("\"v\""));
  EXPECT_THAT(std::string(index(R"({"weight_map":{"v":"a","v":"a"}})").status().message()),
              HasSubstr("twice"));
  EXPECT_EQ(index(R"({"weight_map":{"v":"gone.safetensors"}})").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(index("[]").ok());
  EXPECT_FALSE(index(std::string(1 << 16, '[')).ok());
}

TEST_F(SafetensorsTest, AModelIsAFileOrAFolderWithOne) {
  EXPECT_EQ(SafetensorsModel::Open(folder_.string()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsModel::Open(Path("none")).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteSafetensors(Path("model.safetensors"), {}).ok());
  EXPECT_TRUE(SafetensorsModel::Open(folder_.string()).ok());
  EXPECT_TRUE(SafetensorsModel::Open(Path("model.safetensors")).ok());
}

}  // namespace
}  // namespace longrun::model
