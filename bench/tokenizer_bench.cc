// How fast text becomes tokens on one thread, and how long learning the tokenizer takes: medians of
// five runs. Text: the files given, or Debian's fortunes.
//
//   tokenizer_bench [FILE…]

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/time.h"
#include "model/bpe_trainer.h"
#include "model/split.h"
#include "model/tokenizer.h"

namespace longrun::model {
namespace {

constexpr int kRuns = 5;

template <class F>
double MedianSeconds(F run) {
  std::vector<double> seconds;
  for (int i = 0; i < kRuns; ++i) {
    const Stopwatch watch;
    run();
    seconds.push_back(watch.seconds());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return seconds[kRuns / 2];
}

std::vector<std::string> FortuneFiles() {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/usr/share/games/fortunes", error)) {
    if (entry.is_regular_file() && !entry.is_symlink() && !entry.path().has_extension()) {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Report(const char* what, double seconds, size_t bytes) {
  fmt::print("{:<44} {:>8.3f} s  {:>8.1f} MB/s\n", what, seconds,
             static_cast<double>(bytes) / seconds / 1e6);
}

void Measure(const std::string& text) {
  CharacterClasses();  // made once per process, outside the figures
  Report("split by regular expression (PCRE2, JIT)", MedianSeconds([&] { SplitByRegex(text); }),
         text.size());
  Report("split by hand", MedianSeconds([&] {
           for (WordSplitter words(text); !words.Done();) words.Next();
         }),
         text.size());
  for (const int64_t vocab : {2000, 8000}) {
    Report(fmt::format("learn {} tokens", vocab).c_str(),
           MedianSeconds([&] { TrainBpe(text, vocab).status().IgnoreError(); }), text.size());
    const Tokenizer tokenizer = *TrainBpe(text, vocab);
    std::vector<TokenId> ids;
    Report(fmt::format("encode, {} tokens, new encoder", vocab).c_str(), MedianSeconds([&] {
             ids.clear();
             TokenEncoder(tokenizer).Encode(text, &ids);
           }),
           text.size());
    TokenEncoder encoder(tokenizer);
    Report(fmt::format("encode, {} tokens, words remembered", vocab).c_str(), MedianSeconds([&] {
             ids.clear();
             encoder.Encode(text, &ids);
           }),
           text.size());
    Report(fmt::format("decode, {} tokens ({:.2f} bytes each)", vocab,
                       static_cast<double>(text.size()) / static_cast<double>(ids.size()))
               .c_str(),
           MedianSeconds([&] { tokenizer.Decode(ids).status().IgnoreError(); }), text.size());
  }
}

}  // namespace
}  // namespace longrun::model

int main(int argc, char** argv) {
  std::vector<std::string> files(argv + 1, argv + argc);
  if (files.empty()) files = longrun::model::FortuneFiles();
  std::string text;
  for (const std::string& file : files) {
    const auto content = longrun::ReadFile(file);
    if (!content.ok()) {
      fmt::print(stderr, "{}\n", std::string(content.status().message()));
      return 1;
    }
    text += *content;
  }
  if (text.empty()) {
    fmt::print(stderr, "no text: name files, or apt-get install fortunes\n");
    return 1;
  }
  fmt::print("{} bytes of text in {} files\n", text.size(), files.size());
  longrun::model::Measure(text);
  return 0;
}
