#include <cstdint>
#include <functional>
#include <queue>

#include "model/special_finder.h"
#include "model/split.h"
#include "model/split_regex.h"
#include "model/tokenizer.h"
#include "model/utf8.h"
#include "model/view_hash.h"

namespace longrun::model {
namespace {

// Up to this many bytes a scan for the first merge is faster than a queue; beyond it the queue
// keeps a word of a million letters from taking a million squared steps.
constexpr size_t kShortWordBytes = 48;
// Longer words hardly come again.
constexpr size_t kRememberedWordBytes = 48;
constexpr size_t kRememberedBytes = 28'000'000;
// Of each word, beside its letters and tokens: its place in the table and two pieces of the heap.
constexpr size_t kWordBytes = 160;

// Merges the neighbours whose merge was learned first, the leftmost of equals, until none is left.
// `ids` holds the tokens of single bytes and is left holding the word's tokens.
void MergeShort(const Tokenizer& tokenizer, std::vector<TokenId>* ids) {
  std::vector<TokenId>& id = *ids;
  Tokenizer::Join joins[kShortWordBytes];  // of each token with the next
  size_t n = id.size();
  const auto look = [&](size_t i) { joins[i] = tokenizer.Find(id[i], id[i + 1]); };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    size_t first = n;
    int32_t rank = INT32_MAX;
    for (size_t i = 0; i + 1 < n; ++i) {
      if (joins[i].rank >= 0 && joins[i].rank < rank) {
        rank = joins[i].rank;
        first = i;
      }
    }
    if (first == n) break;
    id[first] = joins[first].merged;
    --n;
    for (size_t i = first + 1; i < n; ++i) {
      id[i] = id[i + 1];
      joins[i] = joins[i + 1];
    }
    if (first + 1 < n) look(first);
    if (first > 0) look(first - 1);
  }
  id.resize(n);
}

// The same with a queue of merges over a linked list of tokens: n log n.
class LongWord {
 public:
  LongWord(const Tokenizer& tokenizer, std::vector<TokenId>* ids)
      : tokenizer_(tokenizer), ids_(*ids), links_(ids->size()) {
    for (size_t i = 0; i < links_.size(); ++i) {
      links_[i].before = i == 0 ? kNone : i - 1;
      links_[i].after = i + 1 == links_.size() ? kNone : i + 1;
    }
    for (size_t i = 0; i < links_.size(); ++i) Look(i);
  }

  void Merge() {
    while (!queue_.empty()) {
      const auto rank = static_cast<int32_t>(queue_.top() >> kPlaceBits);
      const size_t place = queue_.top() & ((uint64_t{1} << kPlaceBits) - 1);
      queue_.pop();
      if (links_[place].join.rank == rank) MergeAt(place);  // else it was overtaken
    }
    size_t n = 0;
    for (size_t i = 0; i != kNone; i = links_[i].after) ids_[n++] = ids_[i];
    ids_.resize(n);
  }

 private:
  static constexpr size_t kNone = ~size_t{0};
  static constexpr int kPlaceBits = 37;  // 128 GiB in one word, 2^26 ranks above them

  struct Link {
    size_t before;
    size_t after;
    Tokenizer::Join join;  // with the token after; rank -1 too where this one was merged away
  };

  void Look(size_t place) {
    Link& link = links_[place];
    link.join =
        link.after == kNone ? Tokenizer::Join{} : tokenizer_.Find(ids_[place], ids_[link.after]);
    if (link.join.rank >= 0) {
      queue_.push(static_cast<uint64_t>(link.join.rank) << kPlaceBits | place);
    }
  }

  void MergeAt(size_t place) {
    Link& link = links_[place];
    const size_t gone = link.after;
    ids_[place] = link.join.merged;
    link.after = links_[gone].after;
    if (link.after != kNone) links_[link.after].before = place;
    links_[gone].join = {};
    Look(place);
    if (link.before != kNone) Look(link.before);
  }

  const Tokenizer& tokenizer_;
  std::vector<TokenId>& ids_;
  std::vector<Link> links_;
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue_;
};

}  // namespace

struct TokenEncoder::State {
  explicit State(const Tokenizer& t) : tokenizer(t) {}

  void EncodeWord(std::string_view word, std::vector<TokenId>* out) {
    const bool remember = word.size() <= kRememberedWordBytes && !tokenizer.rules().characters;
    if (remember) {
      const auto it = words.find(word);
      if (it != words.end()) {
        out->insert(out->end(), it->second.begin(), it->second.end());
        return;
      }
    }
    BeginWord(word);
    if (word.size() <= kShortWordBytes) {
      MergeShort(tokenizer, &scratch);
    } else {
      LongWord(tokenizer, &scratch).Merge();
    }
    out->insert(out->end(), scratch.begin(), scratch.end());
    if (!remember) return;
    if (remembered_bytes > kRememberedBytes) {
      TextMap<std::vector<TokenId>>().swap(words);
      remembered_bytes = 0;
    }
    remembered_bytes += kWordBytes + word.size() + scratch.size() * sizeof(TokenId);
    words.emplace(word, scratch);
  }

  // The tokens that merging begins with.
  void BeginWord(std::string_view word) {
    scratch.clear();
    const TextRules& rules = tokenizer.rules();
    const auto whole = rules.whole_words ? tokenizer.Whole(word) : std::nullopt;
    if (whole.has_value()) {
      scratch.push_back(*whole);
      return;
    }
    for (size_t at = 0; at < word.size();) {
      const std::string_view rest = word.substr(at);
      const int bytes = rules.characters ? FirstCodePoint(rest).bytes : 0;
      const size_t taken = bytes == 0 ? 1 : static_cast<size_t>(bytes);
      const auto character = bytes == 0 ? std::nullopt : tokenizer.Whole(rest.substr(0, taken));
      if (character.has_value()) {
        scratch.push_back(*character);
      } else {
        for (const char byte : rest.substr(0, taken)) {
          scratch.push_back(tokenizer.ByteToken(static_cast<uint8_t>(byte)));
        }
      }
      at += taken;
    }
  }

  // A piece between special and added tokens; `first`: the text begins with it.
  void EncodePiece(std::string_view text, bool first, std::vector<TokenId>* out) {
    const TextRules& rules = tokenizer.rules();
    using Blank = TextRules::Blank;
    const bool puts = rules.blank == Blank::kAlways ||
                      (rules.blank == Blank::kUnlessThere && !text.starts_with(' ')) ||
                      (rules.blank == Blank::kFirstUnlessThere && first && !text.starts_with(' '));
    std::string own;
    if (!text.empty() && (puts || rules.characters)) {
      own = puts ? " " : "";
      own += text;
      if (rules.characters) ReplaceBlocks(&own);
      text = own;
    }
    if (text.empty()) return;
    if (rules.characters) {
      EncodeWord(text, out);
    } else if (rules.words != nullptr) {
      for (const std::string_view word : rules.words->Split(text)) EncodeWord(word, out);
    } else {
      for (WordSplitter split(text); !split.Done();) EncodeWord(split.Next(), out);
    }
  }

  // U+2581, which stands for a blank in SentencePiece's vocabularies, becomes one.
  static void ReplaceBlocks(std::string* text) {
    static constexpr std::string_view kBlock = "\u2581";
    size_t from = text->find(kBlock);
    if (from == std::string::npos) return;
    std::string replaced;
    size_t at = 0;
    for (; from != std::string::npos; from = text->find(kBlock, at)) {
      replaced.append(*text, at, from - at);
      replaced += ' ';
      at = from + kBlock.size();
    }
    *text = replaced + text->substr(at);
  }

  void EncodeAround(std::string_view text, const std::vector<TokenId>& tokens,
                    std::vector<TokenId>* out) {
    if (tokens.empty()) return EncodePiece(text, true, out);
    std::vector<std::string_view> texts;
    for (const TokenId id : tokens) texts.push_back(tokenizer.TokenBytes(id));
    SpecialFinder pieces(text, std::move(texts));
    while (true) {
      const SpecialFinder::Piece piece = pieces.Next();
      EncodePiece(piece.text, piece.text.data() == text.data(), out);
      if (piece.special < 0) return;
      out->push_back(tokens[static_cast<size_t>(piece.special)]);
    }
  }

  const Tokenizer& tokenizer;
  TextMap<std::vector<TokenId>> words;
  size_t remembered_bytes = 0;  // by them
  std::vector<TokenId> scratch;
};

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer)
    : state_(std::make_unique<State>(tokenizer)) {}
TokenEncoder::~TokenEncoder() = default;

void TokenEncoder::Encode(std::string_view text, std::vector<TokenId>* out) {
  state_->EncodeAround(text, state_->tokenizer.rules().added, out);
}

void TokenEncoder::EncodeWithSpecials(std::string_view text, std::vector<TokenId>* out) {
  std::vector<TokenId> tokens = state_->tokenizer.specials();
  const std::vector<TokenId>& added = state_->tokenizer.rules().added;
  tokens.insert(tokens.end(), added.begin(), added.end());
  state_->EncodeAround(text, tokens, out);
}

}  // namespace longrun::model
