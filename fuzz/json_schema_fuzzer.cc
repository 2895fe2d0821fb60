// The first eight bytes seed a walk, the rest is a schema. Any schema is compiled or refused; of a
// compiled one, random allowed tokens follow each other without an end too early: at every step
// something may come, what the mask allows is accepted, and a complete text is JSON.
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "model/tokenizer.h"
#include "serving/grammar/constraint.h"

namespace {

using longrun::model::TokenId;
using longrun::model::Tokenizer;

constexpr int kMostSteps = 60;

const Tokenizer& Vocabulary() {
  static const Tokenizer tokenizer = [] {
    const Tokenizer bytes = Tokenizer::Bytes();
    std::vector<std::string> tokens;
    for (TokenId id = 0; id < 256; ++id) tokens.emplace_back(bytes.TokenBytes(id));
    for (const char* more :
         {"{\"", "\":", "\": ", "\",\"", "\"}", "},{", "[\"", "\"]", "true", "null", "the", " the",
          "12", "0.", "\\u00", "\n  ", "é", "\xE4\xB8", "}}"}) {
      tokens.emplace_back(more);
    }
    tokens.emplace_back("<|endoftext|>");
    return *Tokenizer::Make(tokens, {}, {static_cast<TokenId>(tokens.size()) - 1});
  }();
  return tokenizer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using longrun::serving::ConstraintCompiler;
  if (size < 8) return 0;
  uint64_t seed = 0;
  std::memcpy(&seed, data, 8);
  longrun::Random random(seed);
  static const auto compiler = ConstraintCompiler::Make(Vocabulary());
  const auto constraint = compiler->Compile(
      {longrun::serving::FormatKind::kJsonSchema, std::string(data + 8, data + size)}, "");
  if (!constraint.ok()) return 0;
  const auto state = (*constraint)->Start();
  const auto vocab = static_cast<size_t>(Vocabulary().vocab_size());
  std::vector<uint32_t> mask((vocab + 31) / 32);
  std::string text;
  bool ended = false;
  for (int step = 0; step < kMostSteps && !ended; ++step) {
    if (state->complete()) break;
    state->Mask(mask);
    std::vector<TokenId> allowed;
    for (size_t t = 0; t < vocab; ++t) {
      if (mask[t / 32] >> (t % 32) & 1) allowed.push_back(static_cast<TokenId>(t));
    }
    LR_CHECK(!allowed.empty());
    const TokenId token = allowed[random.Below(allowed.size())];
    LR_CHECK(state->Accept(token));
    ended = token == Vocabulary().end_of_text();
    if (!ended) text += Vocabulary().TokenBytes(token);
  }
  if (ended || state->complete()) LR_CHECK(nlohmann::json::accept(text));
  return 0;
}
