// What the tests of constraints share: a tokenizer whose tokens span JSON's borders, and texts
// taken token by token.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "model/bpe_trainer.h"
#include "model/text_samples.h"
#include "serving/grammar/constraint.h"

namespace longrun::serving {

// JSON, so that tokens span its borders: `":"`, `"},{"`, `, "` and the like.
inline const model::Tokenizer& Trained() {
  static const model::Tokenizer tokenizer = [] {
    std::string text = model::MixedScripts(1, 1 << 15);
    for (int i = 0; i < 300; ++i) {
      text += R"({"name":"x","a":1,"b":[true,false,null],"list":[{"a":-12.5e3},{"c":""}]})";
      text +=
          "\n{\n  \"name\": \"the\",\n  \"list\": [\n    1,\n    2\n  ]\n}, \"k\": \"\\u00e9\\n\"";
    }
    return *model::TrainBpe(text, 1200);
  }();
  return tokenizer;
}

inline std::vector<TokenId> Allowed(ConstraintState* state, const model::Tokenizer& tokenizer) {
  std::vector<uint32_t> mask(static_cast<size_t>((tokenizer.vocab_size() + 31) / 32));
  state->Mask(mask);
  std::vector<TokenId> tokens;
  for (TokenId t = 0; t < tokenizer.vocab_size(); ++t) {
    if (mask[static_cast<size_t>(t) / 32] >> (t % 32) & 1) tokens.push_back(t);
  }
  return tokens;
}

inline std::unique_ptr<ConstraintState> Start(const model::Tokenizer& tokenizer,
                                              const std::string& schema) {
  const auto compiler = ConstraintCompiler::Make(tokenizer);
  const auto constraint = compiler->Compile({FormatKind::kJsonSchema, schema}, "");
  EXPECT_TRUE(constraint.ok()) << schema << ": " << constraint.status();
  return constraint.ok() ? (*constraint)->Start() : nullptr;
}

// Whether the text's tokens are accepted one by one and the text may end there.
inline bool Accepts(ConstraintState* state, const model::Tokenizer& tokenizer,
                    const std::string& text) {
  for (const TokenId token : tokenizer.Encode(text)) {
    if (!state->Accept(token)) return false;
  }
  return state->Accept(*tokenizer.end_of_text());
}
inline bool Accepts(const std::string& schema, const std::string& text) {
  return Accepts(Start(Trained(), schema).get(), Trained(), text);
}

}  // namespace longrun::serving
