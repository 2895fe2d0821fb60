// What constrained output costs: compiling a schema, and the mask of each token, on a vocabulary of
// 50,000 tokens learned from the files given or from Debian's fortunes (fewer where the text does
// not give so many).
//
//   grammar_bench [FILE…]

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "base/time.h"
#include "model/bpe_trainer.h"
#include "serving/grammar/constraint.h"

namespace longrun::serving {
namespace {

constexpr int64_t kVocabulary = 50'000;
constexpr int kTexts = 20;
constexpr int kMostTokens = 300;

constexpr char kPerson[] = R"({"type":"object","properties":{"name":{"type":"string"},
  "age":{"type":"integer","minimum":0,"maximum":150},
  "email":{"type":"string","pattern":"^\\S+@\\S+$"},
  "kind":{"enum":["person","company","other"]},
  "tags":{"type":"array","items":{"type":"string","maxLength":20},"maxItems":10},
  "friends":{"type":"array","items":{"$ref":"#"}}},"required":["name","age","kind"]})";
constexpr char kBounded[] = R"({"type":"string","maxLength":2000})";
constexpr char kReadings[] = R"({"type":"string","pattern":"^(.?){120}[a-z]{30}$"})";
constexpr char kEmpty[] = R"({"type":"string","pattern":"^(((((|a)|b)|c)|d)|[e-z ]){1,60}!$"})";
constexpr char kHostile[] = R"({"type":"string","pattern":"^[ab ]*a[ab ]{60}$"})";

std::string Text(int argc, char** argv) {
  std::string text;
  for (int i = 1; i < argc; ++i) text += *ReadFile(argv[i]);
  std::error_code error;
  if (argc > 1) return text;
  for (const auto& entry :
       std::filesystem::directory_iterator("/usr/share/games/fortunes", error)) {
    if (entry.is_regular_file() && !entry.path().has_extension()) {
      text += *ReadFile(entry.path().string());
    }
  }
  return text;
}

double At(std::vector<double>& sorted, double share) {
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

// Random walks through what is allowed, each mask timed.
void Measure(const char* name, const Format& format, const model::Tokenizer& tokenizer,
             ConstraintCompiler* compiler) {
  const Stopwatch compile_watch;
  const auto constraint = *compiler->Compile(format, "");
  const double compile_ms = compile_watch.seconds() * 1e3;
  const auto words = static_cast<size_t>((tokenizer.vocab_size() + 31) / 32);
  std::vector<uint32_t> mask(words);
  std::vector<double> micros;
  int64_t effort = 0;
  Random random(1);
  for (int text = 0; text < kTexts; ++text) {
    const auto state = constraint->Start();
    for (int i = 0; i < kMostTokens && !state->complete(); ++i) {
      const Stopwatch watch;
      while (!state->ready()) effort += state->Prepare(ConstraintState::kAllEffort);
      state->Mask(mask);
      micros.push_back(watch.seconds() * 1e6);
      model::TokenId token = 0;
      do {
        token = static_cast<model::TokenId>(
            random.Below(static_cast<uint64_t>(tokenizer.vocab_size())));
      } while ((mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1) == 0);
      LR_CHECK(state->Accept(token));
    }
  }
  const double first = micros[0];
  double sum = 0;
  for (const double m : micros) sum += m;
  const auto count = static_cast<double>(micros.size());
  std::sort(micros.begin(), micros.end());
  fmt::print("{:<28}{:>12.2f}{:>12.1f}{:>10.1f}{:>10.1f}{:>10.1f}{:>10.1f}{:>10.1f}\n", name,
             compile_ms, first, sum / count, At(micros, 0.5), At(micros, 0.99), micros.back(),
             1e3 * sum / static_cast<double>(effort));
}

void Main(int argc, char** argv) {
  const auto tokenizer = *model::TrainBpe(Text(argc, argv), kVocabulary);
  const Stopwatch watch;
  const auto compiler = ConstraintCompiler::Make(tokenizer);
  fmt::print("vocabulary of {} tokens, its tree in {:.1f} ms\n", tokenizer.vocab_size(),
             watch.seconds() * 1e3);
  fmt::print("{:<28}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}{:>10}\n", "masks in microseconds",
             "compile ms", "first", "mean", "median", "p99", "worst", "ns/effort");
  Measure("any JSON object", {FormatKind::kJsonObject}, tokenizer, compiler.get());
  for (const auto& [name, schema] : {std::pair{"person, recursive", kPerson},
                                     {"string of up to 2000", kBounded},
                                     {"hostile pattern", kHostile},
                                     {"many readings", kReadings},
                                     {"many empty ways", kEmpty}}) {
    Measure(name, {FormatKind::kJsonSchema, schema}, tokenizer, compiler.get());
  }
}

}  // namespace
}  // namespace longrun::serving

int main(int argc, char** argv) { longrun::serving::Main(argc, argv); }
