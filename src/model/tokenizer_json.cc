// tokenizer.json of Hugging Face's `tokenizers`: read where its way of making tokens is known here,
// refused where it would make others.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "model/split_regex.h"
#include "model/strict_json.h"
#include "model/tokenizer_config.h"
#include "model/tokenizer_files.h"
#include "model/vocab_builder.h"

namespace longrun::model {
namespace {

using nlohmann::json;
using Blank = TextRules::Blank;

bool IsNullOr(const json& object, const char* key, const json& right) {
  return !object.contains(key) || object[key].is_null() || object[key] == right;
}

absl::Status CheckModel(const std::string& path, const json& file) {
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object()) {
    return Invalid(path, "an object with \"model\" is right");
  }
  const json& model = file["model"];
  if (!model.contains("type") || model["type"] != "BPE") {
    return Invalid(path, "model.type: \"BPE\" is the one that is read");
  }
  for (const auto& [key, right] : {std::pair<const char*, json>{"dropout", 0.0},
                                   {"continuing_subword_prefix", ""},
                                   {"end_of_word_suffix", ""}}) {
    if (!IsNullOr(model, key, right)) {
      return Invalid(path, "model.{}: {} is not read; null or {} is", key, model[key].dump(),
                     right.dump());
    }
  }
  if (!model.contains("vocab") || !model.contains("merges")) {
    return Invalid(path, "model: \"vocab\" and \"merges\" are needed");
  }
  return absl::OkStatus();
}

// A step of a Sequence: its expression, to be applied after those before it.
absl::Status AddStep(const std::string& path, const json& step, bool last,
                     std::vector<std::string>* patterns) {
  const std::string type = step.value("type", "");
  if (type == "ByteLevel" && last) {
    if (step.value("add_prefix_space", true)) {
      return Invalid(path, "pre_tokenizer: add_prefix_space in a Sequence is not read");
    }
    if (step.value("use_regex", true)) patterns->push_back(kGpt2Split);
    return absl::OkStatus();
  }
  if (type == "Digits") {
    patterns->push_back(step.value("individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    return absl::OkStatus();
  }
  const json pattern = step.value("pattern", json());
  if (type == "Split" && pattern.is_object() && step.value("behavior", "") == "Isolated" &&
      !step.value("invert", false) && (pattern.contains("Regex") || pattern.contains("String"))) {
    if (pattern.contains("Regex")) {
      patterns->push_back(pattern["Regex"].get<std::string>());
    } else {
      std::string quoted;  // each byte that may mean something escaped
      for (const char c : pattern["String"].get<std::string>()) {
        if (c >= 0x20 && c < 0x7F && !std::isalnum(static_cast<unsigned char>(c))) quoted += '\\';
        quoted += c;
      }
      patterns->push_back(quoted);
    }
    return absl::OkStatus();
  }
  return Invalid(path,
                 "pre_tokenizer: {} is not read; in a Sequence, Split (Isolated), Digits and "
                 "ByteLevel as the last are",
                 step.dump());
}

// Which words text has, of a byte-level vocabulary.
absl::Status ReadPreTokenizer(const std::string& path, const json& split, TextRules* rules) {
  const std::string type = split.is_object() ? split.value("type", "") : "";
  if (type == "ByteLevel" && split.value("use_regex", true)) {
    if (split.value("add_prefix_space", true)) rules->blank = Blank::kUnlessThere;
    return absl::OkStatus();
  }
  const json steps = type == "Sequence" ? split.value("pretokenizers", json()) : json();
  if (!steps.is_array() || steps.empty() || !steps.back().is_object() ||
      steps.back().value("type", "") != "ByteLevel") {
    return Invalid(path,
                   "pre_tokenizer: ByteLevel with \"use_regex\": true (GPT-2's split), or a "
                   "Sequence that ends with ByteLevel, is right");
  }
  std::vector<std::string> patterns;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!steps[i].is_object()) return Invalid(path, "pre_tokenizer: a step is an object");
    LR_RETURN_IF_ERROR(AddStep(path, steps[i], i + 1 == steps.size(), &patterns));
  }
  auto words = WordRegexes::Make(std::move(patterns));
  if (!words.ok()) {
    return Invalid(path, "pre_tokenizer: {}", std::string(words.status().message()));
  }
  rules->words = *std::move(words);
  return absl::OkStatus();
}

// SentencePiece's blanks: the normalizer of older files, the Metaspace of newer ones.
absl::Status ReadBlanks(const std::string& path, const json& file, TextRules* rules) {
  static const json kBlock = "\u2581";
  const json normalizer = file.value("normalizer", json());
  const json split = file.value("pre_tokenizer", json());
  static const json prepend = {{"type", "Prepend"}, {"prepend", kBlock}};
  static const json replace = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kBlock}};
  if (split.is_null() && normalizer.is_object() && normalizer.value("type", "") == "Sequence") {
    const json steps = normalizer.value("normalizers", json());
    if (steps == json::array({prepend, replace})) {
      rules->blank = Blank::kAlways;
      return absl::OkStatus();
    }
    if (steps == json::array({replace})) return absl::OkStatus();
  }
  if (split.is_null() && normalizer == replace) return absl::OkStatus();
  if (normalizer.is_null() && split.is_object() && split.value("type", "") == "Metaspace" &&
      split.value("replacement", json()) == kBlock && !split.value("split", true)) {
    const std::string scheme = split.value("prepend_scheme", "always");
    if (scheme == "always" || scheme == "first" || scheme == "never") {
      rules->blank = scheme == "always"  ? Blank::kUnlessThere
                     : scheme == "first" ? Blank::kFirstUnlessThere
                                         : Blank::kNone;
      return absl::OkStatus();
    }
  }
  return Invalid(path,
                 "with byte_fallback: a normalizer that prepends and replaces blanks by U+2581, "
                 "or a Metaspace pre_tokenizer with \"split\": false, is read");
}

// The tokens before the text that the post-processor's template has.
absl::Status ReadTemplate(const std::string& path, const json& post, TextRules* rules) {
  if (post.is_null()) return absl::OkStatus();
  const std::string type = post.is_object() ? post.value("type", "") : "";
  if (type == "ByteLevel") return absl::OkStatus();
  if (type == "Sequence" && post.contains("processors") && post["processors"].is_array()) {
    for (const json& part : post["processors"]) {
      if (part.is_object() && part.value("type", "") == "Sequence") {
        return Invalid(path, "post_processor: a Sequence in a Sequence is not read");
      }
      LR_RETURN_IF_ERROR(ReadTemplate(path, part, rules));
    }
    return absl::OkStatus();
  }
  if (type != "TemplateProcessing" || !post.contains("single") || !post["single"].is_array()) {
    return Invalid(path, "post_processor: null, ByteLevel or a TemplateProcessing is read");
  }
  bool after_text = false;
  for (const json& part : post["single"]) {
    if (part.contains("Sequence")) {
      after_text = true;
      continue;
    }
    if (after_text || !part.contains("SpecialToken")) {
      return Invalid(path, "post_processor: a template with tokens after the text is not read");
    }
    const auto name = part["SpecialToken"].at("id").get<std::string>();
    for (const json& id : post.at("special_tokens").at(name).at("ids")) {
      const auto token = id.get<int64_t>();
      if (token < 0 || token > kLargestId) return Invalid(path, "post_processor: {}", token);
      rules->prefix.push_back(static_cast<TokenId>(token));
    }
  }
  return absl::OkStatus();
}

absl::Status AddAddedTokens(const std::string& path, const json& added, VocabBuilder* vocab) {
  if (added.is_null()) return absl::OkStatus();
  if (!added.is_array()) return Invalid(path, "added_tokens: a list is right");
  for (const json& token : added) {
    if (!token.is_object() || !token.contains("id") || !token["id"].is_number_unsigned() ||
        !token.contains("content") || !token["content"].is_string() ||
        token["content"].get_ref<const std::string&>().empty()) {
      return Invalid(path, "added_tokens: each has an \"id\" and a \"content\"");
    }
    const auto content = token["content"].get<std::string>();
    for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
      if (token.value(flag, false)) {
        return Invalid(path, "added_tokens: \"{}\": {} is not read", content, flag);
      }
    }
    const auto id = std::min<uint64_t>(token["id"].get<uint64_t>(), kLargestId + 1);
    LR_RETURN_IF_ERROR(vocab->Add(content, static_cast<int64_t>(id)));
    if (token.value("special", true)) {
      vocab->MakeSpecial(static_cast<TokenId>(id));
    } else {
      vocab->MakeAdded(static_cast<TokenId>(id));
    }
  }
  return absl::OkStatus();
}

absl::Status AddMerges(const std::string& path, const json& merges, VocabBuilder* vocab) {
  if (!merges.is_array()) return Invalid(path, "model.merges: a list is right");
  for (size_t i = 0; i < merges.size(); ++i) {
    const json& merge = merges[i];
    const std::string where = fmt::format("{}: model.merges[{}]", path, i);
    if (merge.is_string()) {
      LR_RETURN_IF_ERROR(AddMergeLine(where, merge.get_ref<const std::string&>(), vocab));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      LR_RETURN_IF_ERROR(
          vocab->AddMerge(where, merge[0].get<std::string>(), merge[1].get<std::string>()));
    } else {
      return Invalid(where, "\"left right\" or [\"left\", \"right\"] is right");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadRules(const std::string& path, const json& file, TextRules* rules) {
  const json& model = file["model"];
  rules->whole_words = model.value("ignore_merges", false);
  rules->characters = model.value("byte_fallback", false);
  LR_RETURN_IF_ERROR(ReadTemplate(path, file.value("post_processor", json()), rules));
  if (rules->characters) return ReadBlanks(path, file, rules);
  if (!IsNullOr(file, "normalizer", nullptr)) {
    return Invalid(path, "normalizer: null is right; text is encoded as it is");
  }
  return ReadPreTokenizer(path, file.value("pre_tokenizer", json()), rules);
}

}  // namespace

absl::StatusOr<Tokenizer> ParseTokenizerJson(std::string_view text, const std::string& name,
                                             const std::string& end_of_text) {
  LR_ASSIGN_OR_RETURN(const json file, ParseStrictJson(text, name));
  try {
    LR_RETURN_IF_ERROR(CheckModel(name, file));
    const json& model = file["model"];
    VocabBuilder vocab(name);
    LR_RETURN_IF_ERROR(ReadRules(name, file, &vocab.rules()));
    LR_RETURN_IF_ERROR(vocab.AddAll(model["vocab"]));
    LR_RETURN_IF_ERROR(AddMerges(name, model["merges"], &vocab));
    LR_RETURN_IF_ERROR(AddAddedTokens(name, file.value("added_tokens", json()), &vocab));
    const auto end = vocab.Find(end_of_text);
    if (end.has_value() && vocab.IsSpecial(*end)) vocab.rules().end_of_text = end;
    return vocab.Build();
  } catch (const json::exception& e) {  // a field of another type than its name promises
    return Invalid(name, "not as a tokenizer.json should be: {}", e.what());
  }
}

absl::StatusOr<Tokenizer> LoadTokenizerJson(const std::string& path,
                                            const std::optional<std::string>& end_of_text) {
  LR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kLargestFile));
  if (end_of_text) return ParseTokenizerJson(text, path, *end_of_text);
  LR_ASSIGN_OR_RETURN(const json config,
                      ReadTokenizerConfig(std::filesystem::path(path).parent_path().string()));
  return ParseTokenizerJson(text, path, SpecialTokenText(config, "eos_token"));
}

}  // namespace longrun::model
