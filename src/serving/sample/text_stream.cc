#include "serving/sample/text_stream.h"

#include <algorithm>
#include <utility>

namespace longrun::serving {

bool TextStream::Stop::Take(char next) {
  while (matched > 0 && text[matched] != next) matched = fallback[matched - 1];
  if (text[matched] == next) ++matched;
  return matched == text.size();
}

TextStream::TextStream(const model::Tokenizer& tokenizer, std::vector<std::string> stop,
                       std::vector<model::TokenId> shown)
    : tokenizer_(&tokenizer), shown_specials_(std::move(shown)) {
  for (std::string& text : stop) {
    if (text.empty()) continue;
    Stop made;
    made.text = std::move(text);
    made.fallback.assign(made.text.size(), 0);
    for (size_t i = 1; i < made.text.size(); ++i) {
      made.Take(made.text[i]);
      made.fallback[i] = made.matched;
    }
    made.matched = 0;
    stops_.push_back(std::move(made));
  }
}

TextStream::Piece TextStream::Show(const std::string& text) {
  Piece piece;
  size_t settled = shown_;
  for (const char c : text) {
    held_.push_back(c);
    size_t begun = 0;
    size_t whole = 0;
    for (Stop& stop : stops_) {
      if (stop.Take(c)) whole = std::max(whole, stop.text.size());
      begun = std::max(begun, stop.matched);
    }
    settled = held_.size() - (whole > 0 ? whole : begun);
    if (whole == 0) continue;
    piece.stopped = stopped_ = true;
    break;
  }
  piece.text = held_.substr(shown_, settled - shown_);
  shown_ = settled;
  if (shown_ > held_.size() / 2) held_.erase(0, std::exchange(shown_, 0));
  return piece;
}

TextStream::Piece TextStream::Push(model::TokenId token) {
  if (stopped_) return {"", true};
  if (tokenizer_->IsSpecial(token) &&
      std::find(shown_specials_.begin(), shown_specials_.end(), token) == shown_specials_.end())
    return {};
  return Show(utf8_.Push(tokenizer_->TokenBytes(token)));
}

std::string TextStream::Flush() {
  if (stopped_) return "";
  Piece piece = Show(utf8_.Finish());
  if (!piece.stopped) piece.text += held_.substr(shown_);
  return piece.text;
}

}  // namespace longrun::serving
