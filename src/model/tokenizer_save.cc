#include <fmt/core.h>

#include <filesystem>
#include <utility>

#include "base/file.h"
#include "model/byte_level.h"
#include "model/strict_json.h"
#include "model/tokenizer_files.h"

namespace longrun::model {
namespace {

using nlohmann::ordered_json;

// As the files write a token: a special one as it reads, another byte by byte.
std::string TextOf(const Tokenizer& tokenizer, TokenId id) {
  const std::string_view bytes = tokenizer.TokenBytes(id);
  return tokenizer.IsSpecial(id) ? std::string(bytes) : BytesToText(bytes);
}

ordered_json Vocab(const Tokenizer& tokenizer) {
  // Straight into the object's list: ordered_json searches all keys before it adds one.
  ordered_json vocab = ordered_json::object();
  auto& entries = vocab.get_ref<ordered_json::object_t&>();
  entries.reserve(static_cast<size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    entries.emplace_back(TextOf(tokenizer, id), ordered_json(id));
  }
  return vocab;
}

// What both tokenizer.json and tokenizer_config.json say of a special token.
ordered_json Special(const Tokenizer& tokenizer, TokenId id) {
  return {{"content", tokenizer.TokenBytes(id)},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false},
          {"normalized", false},
          {"special", true}};
}

ordered_json TokenizerJson(const Tokenizer& tokenizer) {
  ordered_json added = ordered_json::array();
  for (const TokenId id : tokenizer.specials()) {
    ordered_json token = {{"id", id}};
    token.update(Special(tokenizer, id));
    added.push_back(std::move(token));
  }
  ordered_json merges = ordered_json::array();
  for (const Tokenizer::Merge& merge : tokenizer.merges()) {
    merges.push_back(
        fmt::format("{} {}", TextOf(tokenizer, merge.left), TextOf(tokenizer, merge.right)));
  }
  const auto byte_level = [](bool trim_offsets) {
    return ordered_json{{"type", "ByteLevel"},
                        {"add_prefix_space", false},
                        {"trim_offsets", trim_offsets},
                        {"use_regex", true}};
  };
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level(true)},
          {"post_processor", byte_level(false)},
          {"decoder", byte_level(true)},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", Vocab(tokenizer)},
            {"merges", std::move(merges)}}}};
}

// null rather than nothing where there is no <|endoftext|>: transformers would otherwise add it,
// with an id that the model has no embedding for.
ordered_json SpecialNames(const Tokenizer& tokenizer) {
  ordered_json name;
  if (tokenizer.end_of_text().has_value()) name = kEndOfText;
  return {{"bos_token", name}, {"eos_token", name}, {"unk_token", name}};
}

ordered_json TokenizerConfig(const Tokenizer& tokenizer, int64_t model_max_length) {
  ordered_json added = ordered_json::object();
  for (const TokenId id : tokenizer.specials()) {
    added[std::to_string(id)] = Special(tokenizer, id);
  }
  ordered_json config = {{"add_prefix_space", false}, {"added_tokens_decoder", std::move(added)}};
  config.update(SpecialNames(tokenizer));
  config["clean_up_tokenization_spaces"] = false;
  config["model_max_length"] = model_max_length;
  config["tokenizer_class"] = "GPT2Tokenizer";
  return config;
}

std::string MergesText(const Tokenizer& tokenizer) {
  std::string text = "#version: 0.2\n";
  for (const Tokenizer::Merge& merge : tokenizer.merges()) {
    text += fmt::format("{} {}\n", TextOf(tokenizer, merge.left), TextOf(tokenizer, merge.right));
  }
  return text;
}

}  // namespace

absl::Status SaveTokenizer(const Tokenizer& tokenizer, const std::string& folder,
                           int64_t model_max_length) {
  if (!tokenizer.rules().IsGpt2s()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: this tokenizer does not split text as GPT-2's does, which is all that these files "
        "can say; keep the tokenizer.json it came from",
        folder));
  }
  LR_RETURN_IF_ERROR(MakeFolder(folder));
  const auto write = [&](const char* name, const std::string& text) {
    return WriteFileAtomically((std::filesystem::path(folder) / name).string(), text);
  };
  try {
    LR_RETURN_IF_ERROR(write("vocab.json", Vocab(tokenizer).dump() + "\n"));
    LR_RETURN_IF_ERROR(write("merges.txt", MergesText(tokenizer)));
    LR_RETURN_IF_ERROR(write("tokenizer.json", TokenizerJson(tokenizer).dump(1) + "\n"));
    LR_RETURN_IF_ERROR(write("tokenizer_config.json",
                             TokenizerConfig(tokenizer, model_max_length).dump(2) + "\n"));
    return write("special_tokens_map.json", SpecialNames(tokenizer).dump(2) + "\n");
  } catch (const ordered_json::exception& e) {  // a special token whose text is not UTF-8
    return absl::InvalidArgumentError(fmt::format("cannot write {}: {}", folder, e.what()));
  }
}

}  // namespace longrun::model
