#include "model/split_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>
#include <string>

#include "base/check.h"
#include "model/utf8.h"

namespace longrun::model {
namespace {

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ with \s written as
// \p{White_Space}, which is what it means to GPT-2's own regular expression library: to PCRE2 \s
// also has U+180E, which left that property in Unicode 6.3.
constexpr char kGpt2Split[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+)"
    R"(|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";

class Regex {
 public:
  explicit Regex(const char* pattern) {
    int error = 0;
    PCRE2_SIZE where = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP, &error, &where, nullptr));
    LR_CHECK(code_ != nullptr);
    // Without JIT (a processor PCRE2 has none for) the interpreter gives the same matches.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
  }

  // Calls visit(begin, end) for each match in `text`, which is valid UTF-8.
  template <class F>
  void ForEachMatch(std::string_view text, F visit) const {
    const std::unique_ptr<pcre2_match_data, Free> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    for (size_t at = 0; at < text.size(); at = bounds[1]) {
      const int rc = pcre2_match(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                 match.get(), nullptr);
      if (rc == PCRE2_ERROR_NOMATCH) return;
      LR_CHECK_GT(rc, 0);
      LR_CHECK_GT(bounds[1], bounds[0]);  // no alternative matches nothing
      visit(bounds[0], bounds[1]);
    }
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
};

// `text` with each byte that is not valid UTF-8 replaced by a control character, a symbol to the
// expression: as long as `text`, so places in it are places in `text`.
std::string WithSymbolsForInvalidBytes(std::string_view text) {
  std::string valid(text);
  for (size_t at = 0; at < text.size();) {
    const int bytes = FirstCodePoint(text.substr(at)).bytes;
    if (bytes == 0) valid[at] = '\x01';
    at += bytes == 0 ? 1 : static_cast<size_t>(bytes);
  }
  return valid;
}

std::vector<CharacterClass> ClassesFromRegex() {
  // All code points as one text, and where each begins in it.
  std::string all;
  std::vector<uint32_t> code_point_at(0x110000 * 4);
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    code_point_at[all.size()] = c;
    AppendUtf8(c, &all);
  }
  std::vector<CharacterClass> classes(0x110000, CharacterClass::kOther);
  const auto mark = [&](const char* pattern, CharacterClass name) {
    Regex(pattern).ForEachMatch(all, [&](size_t begin, size_t end) {
      while (begin < end) {
        classes[code_point_at[begin]] = name;
        begin += static_cast<size_t>(FirstCodePoint(std::string_view(all).substr(begin)).bytes);
      }
    });
  };
  mark(R"(\p{L}+)", CharacterClass::kLetter);
  mark(R"(\p{N}+)", CharacterClass::kNumber);
  mark(R"(\p{White_Space}+)", CharacterClass::kSpace);
  return classes;
}

}  // namespace

std::vector<std::string_view> SplitByRegex(std::string_view text) {
  static const Regex regex(kGpt2Split);
  const std::string valid = WithSymbolsForInvalidBytes(text);
  std::vector<std::string_view> words;
  size_t end_of_last = 0;
  regex.ForEachMatch(valid, [&](size_t begin, size_t end) {
    LR_CHECK_EQ(begin, end_of_last);  // every character is in one of the classes
    words.push_back(text.substr(begin, end - begin));
    end_of_last = end;
  });
  LR_CHECK_EQ(end_of_last, text.size());
  return words;
}

const std::vector<CharacterClass>& CharacterClasses() {
  static const std::vector<CharacterClass> classes = ClassesFromRegex();
  return classes;
}

}  // namespace longrun::model
