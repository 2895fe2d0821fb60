#include "worker/model_folder.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longrun::worker {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class ModelFolder : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(root_);
    fs::create_directories(root_ / "model");
    Touch(root_ / "model/config.json");
    fs::create_directories(root_ / "runs/done/model");
    Touch(root_ / "runs/done/model/config.json");
    fs::create_directories(root_ / "runs/young");
  }
  static void Touch(const fs::path& path) { std::ofstream(path) << "{}"; }
  std::string Error(const std::string& model) const {
    const auto folder = FindModelFolder(model, (root_ / "runs").string());
    EXPECT_FALSE(folder.ok()) << *folder;
    return std::string(folder.status().message());
  }

  const fs::path root_ = fs::path(testing::TempDir()) / "model_folder_test";
};

TEST_F(ModelFolder, IsAFolderOrThatOfARun) {
  const std::string folder = (root_ / "model").string(), runs = (root_ / "runs").string();
  EXPECT_EQ(*FindModelFolder(folder, runs), folder);
  EXPECT_EQ(*FindModelFolder("done", runs), runs + "/done/model");
  EXPECT_FALSE(FindModelFolder("done", "").ok());
}

TEST_F(ModelFolder, WhatIsNoneIsToldWhatWouldBe) {
  EXPECT_THAT(Error("nothing"), HasSubstr("nothing: there is no such folder, nor a run"));
  EXPECT_THAT(Error("nothing"), Not(HasSubstr("hf download")));
  EXPECT_THAT(Error("meta-llama/Llama-3.2-1B"),
              HasSubstr("hf download meta-llama/Llama-3.2-1B --local-dir"));
  EXPECT_THAT(Error("../done"), Not(HasSubstr("hf download")));
  EXPECT_THAT(Error("young"), HasSubstr("run young has no model yet"));
  EXPECT_THAT(Error((root_ / "model/config.json").string()), HasSubstr("is a file"));
  EXPECT_THAT(Error(root_.string()), HasSubstr("holds no config.json"));
  Touch(root_ / "model.gguf");
  EXPECT_THAT(Error((root_ / "model.gguf").string()), HasSubstr("GGUF is not read"));
  EXPECT_THAT(Error(root_.string()), HasSubstr("holds model.gguf, and GGUF is not read"));
}

}  // namespace
}  // namespace longrun::worker
