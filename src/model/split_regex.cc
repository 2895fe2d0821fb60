#include "model/split_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/core.h>

#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "model/utf8.h"

namespace longrun::model {
namespace {

constexpr uint32_t kMostSteps = 10'000'000;  // of one match

// \s written as \p{White_Space}, which is what it means to the tokenizers' own libraries: to PCRE2
// \s also has U+180E, which left that property in Unicode 6.3.
std::string WithUnicodeSpace(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    ++i;
    if (pattern[i] == 's' || pattern[i] == 'S') {
      out += pattern[i] == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
    } else {
      out += '\\';
      out += pattern[i];
    }
  }
  return out;
}

}  // namespace

class Pcre {
 public:
  static absl::StatusOr<std::unique_ptr<const Pcre>> Make(std::string_view pattern) {
    auto regex = std::unique_ptr<Pcre>(new Pcre);
    const std::string text = WithUnicodeSpace(pattern);
    int error = 0;
    PCRE2_SIZE where = 0;
    regex->code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error,
                                     &where, nullptr));
    if (regex->code_ == nullptr) {
      char message[256] = {};
      pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
      return absl::InvalidArgumentError(fmt::format("the expression \"{}\": {}", pattern, message));
    }
    // Without JIT (a processor PCRE2 has none for) the interpreter gives the same matches.
    pcre2_jit_compile(regex->code_.get(), PCRE2_JIT_COMPLETE);
    return std::unique_ptr<const Pcre>(std::move(regex));
  }

  // Calls visit(begin, end) for each match in `text`, which is valid UTF-8, until there is none or
  // one takes too long.
  template <class F>
  void ForEachMatch(std::string_view text, F visit) const {
    const std::unique_ptr<pcre2_match_data, Free> match(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    const std::unique_ptr<pcre2_match_context, Free> context(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(context.get(), kMostSteps);
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    for (size_t at = 0; at < text.size(); at = bounds[1]) {
      const auto run = [&](uint32_t options) {
        return pcre2_match(code_.get(), subject, text.size(), at,
                           PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, match.get(),
                           context.get());
      };
      int rc = run(0);
      if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = run(PCRE2_NO_JIT);
      if (rc <= 0) return;
      if (bounds[1] <= at || bounds[0] < at) return;  // \K and the like
      visit(bounds[0], bounds[1]);
    }
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
};

namespace {

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
    (*Pcre::Make(pattern))->ForEachMatch(all, [&](size_t begin, size_t end) {
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

WordRegexes::WordRegexes() = default;
WordRegexes::~WordRegexes() = default;

absl::StatusOr<std::shared_ptr<const WordRegexes>> WordRegexes::Make(
    std::vector<std::string> patterns) {
  auto made = std::shared_ptr<WordRegexes>(new WordRegexes);
  for (const std::string& pattern : patterns) {
    LR_ASSIGN_OR_RETURN(auto regex, Pcre::Make(pattern));
    made->regexes_.push_back(std::move(regex));
  }
  made->patterns_ = std::move(patterns);
  return std::shared_ptr<const WordRegexes>(std::move(made));
}

std::vector<std::string_view> WordRegexes::Split(std::string_view text) const {
  const std::string valid = WithSymbolsForInvalidBytes(text);
  std::vector<std::string_view> pieces = {text};
  for (const auto& regex : regexes_) {
    std::vector<std::string_view> finer;
    for (const std::string_view piece : pieces) {
      const auto begin_of_piece = static_cast<size_t>(piece.data() - text.data());
      size_t done = 0;
      const auto add_up_to = [&](size_t end) {
        if (end > done) finer.push_back(piece.substr(done, end - done));
        done = end;
      };
      regex->ForEachMatch(std::string_view(valid).substr(begin_of_piece, piece.size()),
                          [&](size_t begin, size_t end) {
                            add_up_to(begin);
                            add_up_to(end);
                          });
      add_up_to(piece.size());
    }
    pieces = std::move(finer);
  }
  return pieces;
}

std::vector<std::string_view> SplitByRegex(std::string_view text) {
  static const std::shared_ptr<const WordRegexes> gpt2 = *WordRegexes::Make({kGpt2Split});
  return gpt2->Split(text);
}

const std::vector<CharacterClass>& CharacterClasses() {
  static const std::vector<CharacterClass> classes = ClassesFromRegex();
  return classes;
}

}  // namespace longrun::model
