// Any bytes are a tokenizer or an error; a tokenizer encodes any text, and byte-level ones give it
// back.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "model/tokenizer_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using longrun::model::Tokenizer;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = longrun::model::ParseTokenizerJson(input, "input", "");
  if (!tokenizer.ok()) return 0;
  for (const std::string_view text :
       {std::string_view("The  quick,\n\n brown fox's 12345 \xE4\xB8\x96\xFF <|endoftext|>"),
        input.substr(0, 300)}) {
    const auto ids = tokenizer->Encode(text);
    const auto decoded = tokenizer->Decode(ids);
    LR_CHECK(decoded.ok());
    const bool exact = tokenizer->rules().blank == longrun::model::TextRules::Blank::kNone &&
                       !tokenizer->rules().characters;
    if (exact) LR_CHECK(*decoded == text);
    LR_CHECK(tokenizer->Decode(tokenizer->EncodeWithSpecials(text)).ok());
  }
  return 0;
}
