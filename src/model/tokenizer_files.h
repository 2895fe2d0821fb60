// The files tokenizers come in. Reading checks everything a file can get wrong; messages name the
// file and the entry. Pure functions of any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/tokenizer.h"

namespace longrun::model {

// What `path` is decides: a folder (its tokenizer.json, else its vocab.json with merges.txt), a
// tokenizer.json, a vocab.json (merges.txt beside it) or a .tiktoken file.
absl::StatusOr<Tokenizer> LoadTokenizer(const std::string& path);
// The same for whoever has read tokenizer_config.json already: `end_of_text` is its "eos_token".
absl::StatusOr<Tokenizer> LoadTokenizer(const std::string& path, const std::string& end_of_text);

// GPT-2's two files. An entry of vocab.json that is neither a byte nor made by a merge and reads
// <…> is a special token.
absl::StatusOr<Tokenizer> LoadVocabAndMerges(const std::string& vocab_path,
                                             const std::string& merges_path);

// Hugging Face `tokenizers` format: byte-level BPE with GPT-2's split or a sequence of expressions
// (Llama 3, Qwen 2), and SentencePiece's BPE with byte_fallback (Llama 2). What is not known here
// is refused, since it would silently give other tokens. The end of text is the "eos_token" of a
// tokenizer_config.json beside it, which is read where `end_of_text` does not say it.
absl::StatusOr<Tokenizer> LoadTokenizerJson(const std::string& path,
                                            const std::optional<std::string>& end_of_text = {});
// The same of its text; messages call it `name`. `end_of_text`: the special token that is it, where
// <|endoftext|> is not; "": none.
absl::StatusOr<Tokenizer> ParseTokenizerJson(std::string_view text, const std::string& name,
                                             const std::string& end_of_text);

// Lines of `base64 rank`. The merges are recovered from the ranks; <|endoftext|> takes the first id
// free. Text is split as GPT-2 does (as r50k and p50k were; the file itself does not say).
absl::StatusOr<Tokenizer> LoadTiktoken(const std::string& path);

// Writes vocab.json, merges.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json
// into `folder` (made if need be), each atomically: what transformers' GPT2Tokenizer and
// GPT2TokenizerFast load. `model_max_length`: the model's context, in tokens.
absl::Status SaveTokenizer(const Tokenizer& tokenizer, const std::string& folder,
                           int64_t model_max_length);

}  // namespace longrun::model
