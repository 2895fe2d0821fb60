#include "serving/sample/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "model/bpe_trainer.h"
#include "model/text_samples.h"

namespace longrun::serving {
namespace {

using model::TokenId;
using model::Tokenizer;

struct Outcome {
  std::string text;
  bool stopped = false;
  bool operator==(const Outcome&) const = default;
};

Outcome Stream(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens,
               const std::vector<std::string>& stop) {
  TextStream stream(tokenizer, stop);
  Outcome outcome;
  for (const TokenId token : tokens) {
    const TextStream::Piece piece = stream.Push(token);
    EXPECT_TRUE(model::IsValidUtf8(piece.text));
    outcome.text += piece.text;
    if (!piece.stopped) continue;
    outcome.stopped = true;
    EXPECT_EQ(stream.Push(token).text, "");  // nothing follows
    EXPECT_EQ(stream.Flush(), "");
    return outcome;
  }
  outcome.text += stream.Flush();
  return outcome;
}

// By the definition: the stop string whose end comes first, of equals the longest.
Outcome Cut(const std::string& text, const std::vector<std::string>& stop) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& s : stop) {
      if (!s.empty() && std::string_view(text).substr(0, end).ends_with(s)) {
        longest = std::max(longest, s.size());
      }
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

// A vocabulary in which every part of `text` is a token, and the tokens of the parts that the bits
// of `cuts` make of it.
class Parts {
 public:
  explicit Parts(const std::string& text) : text_(text) {
    std::vector<std::string> tokens;
    for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
    for (size_t begin = 0; begin < text.size(); ++begin) {
      for (size_t n = 1; begin + n <= text.size(); ++n) {
        const std::string part = text.substr(begin, n);
        auto it = std::find(tokens.begin(), tokens.end(), part);
        if (it == tokens.end()) tokens.push_back(part);
      }
    }
    tokenizer_ = *Tokenizer::Make(tokens, {}, {});
    all_ = tokens;
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  std::vector<TokenId> Cut(uint64_t cuts) const {
    std::vector<TokenId> ids;
    for (size_t begin = 0, i = 1; i <= text_.size(); ++i) {
      if (i < text_.size() && (cuts >> (i - 1) & 1) == 0) continue;
      const auto it = std::find(all_.begin(), all_.end(), text_.substr(begin, i - begin));
      ids.push_back(static_cast<TokenId>(it - all_.begin()));
      begin = i;
    }
    return ids;
  }

 private:
  std::string text_;
  std::vector<std::string> all_;
  std::optional<Tokenizer> tokenizer_;
};

TEST(TextStream, StopStringsCutAtEveryBorder) {
  const std::vector<std::vector<std::string>> stops = {
      {"cab"}, {"aab"}, {"abc", "b"}, {"caba", "ab"}, {"é"}, {"bé"}, {"zz"}, {""}, {"é!", "!"}, {}};
  for (const std::string text : {"aaabcaba", "abcabé!a", "cacabzaé"}) {
    const Parts parts(text);
    for (uint64_t cuts = 0; cuts < uint64_t{1} << (text.size() - 1); ++cuts) {
      const auto tokens = parts.Cut(cuts);
      for (const auto& stop : stops) {
        ASSERT_EQ(Stream(parts.tokenizer(), tokens, stop), Cut(text, stop)) << text << " " << cuts;
      }
    }
  }
}

TEST(TextStream, RandomTextsAndStopsAgainstTheDefinition) {
  const Tokenizer bytes = Tokenizer::Bytes();
  Random random(7);
  const auto word = [&](uint64_t most) {
    std::string out;
    for (uint64_t n = random.Below(most + 1); n > 0; --n) out.push_back("ab"[random.Below(2)]);
    return out;
  };
  for (int round = 0; round < 20'000; ++round) {
    const std::string text = word(24);
    std::vector<std::string> stop;
    for (uint64_t n = random.Below(4); n > 0; --n) stop.push_back(word(7));
    ASSERT_EQ(Stream(bytes, bytes.Encode(text), stop), Cut(text, stop)) << text;
  }
}

TEST(TextStream, TextIsShownAsSoonAsItIsSettled) {
  const Tokenizer bytes = Tokenizer::Bytes();
  TextStream stream(bytes, {"abcd"});
  const auto push = [&](uint8_t byte) { return stream.Push(bytes.ByteToken(byte)).text; };
  EXPECT_EQ(push('x'), "x");
  EXPECT_EQ(push('a'), "");
  EXPECT_EQ(push('b'), "");
  EXPECT_EQ(push('a'), "ab");
  EXPECT_EQ(push(0xC3), "");
  EXPECT_EQ(push(0xA9), "aé");
  EXPECT_EQ(push('a'), "");
  EXPECT_EQ(stream.Flush(), "a");
}

TEST(TextStream, AnyBytesGiveValidTextAndValidTextComesBack) {
  const Tokenizer bytes = Tokenizer::Bytes();
  EXPECT_EQ(Stream(bytes, bytes.Encode("a\xFF\xE2\x82"), {}).text, "a\uFFFD\uFFFD\uFFFD");
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::string any = model::RandomBytes(seed, 300, true);
    model::Utf8Stream whole;
    std::string right = whole.Push(any);
    right += whole.Finish();
    EXPECT_EQ(Stream(bytes, bytes.Encode(any), {"\x01"}), Cut(right, {"\x01"}));
  }
  const Tokenizer trained = *model::TrainBpe(model::MixedScripts(1, 1 << 16), 700);
  const std::string text = model::MixedScripts(2, 1 << 16);
  EXPECT_TRUE(Stream(trained, trained.Encode(text), {"no such text"}).text == text);
}

TEST(TextStream, SpecialTokensHaveNoText) {
  const Tokenizer bytes = Tokenizer::Bytes();
  std::vector<TokenId> tokens = bytes.Encode("ab");
  tokens.insert(tokens.begin() + 1, *bytes.end_of_text());
  EXPECT_EQ(Stream(bytes, tokens, {"<|end"}).text, "ab");
  EXPECT_EQ(Stream(bytes, tokens, {"b"}), (Outcome{"a", true}));
}

TEST(TextStream, AHostileStopStringTakesLinearTime) {
  const Tokenizer bytes = Tokenizer::Bytes();
  const std::string stop = std::string(1 << 20, 'a') + "b";
  const auto outcome = Stream(bytes, bytes.Encode(std::string(1 << 21, 'a')), {stop});
  EXPECT_EQ(outcome.text.size(), size_t{1} << 21);
}

}  // namespace
}  // namespace longrun::serving
