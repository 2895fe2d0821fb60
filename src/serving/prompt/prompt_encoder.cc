#include "serving/prompt/prompt_encoder.h"

#include <utility>

#include "model/special_finder.h"

namespace longrun::serving {

// One of the idle encoders, or a new one, for as long as it lives.
class PromptEncoder::Lease {
 public:
  explicit Lease(PromptEncoder* owner) : owner_(owner) {
    const std::lock_guard lock(owner->mutex_);
    if (owner->idle_.empty()) {
      encoder_ = std::make_unique<model::TokenEncoder>(*owner->tokenizer_);
    } else {
      encoder_ = std::move(owner->idle_.back());
      owner->idle_.pop_back();
    }
  }
  ~Lease() {
    const std::lock_guard lock(owner_->mutex_);
    owner_->idle_.push_back(std::move(encoder_));
  }
  model::TokenEncoder* operator->() { return encoder_.get(); }

 private:
  PromptEncoder* owner_;
  std::unique_ptr<model::TokenEncoder> encoder_;
};

std::vector<model::TokenId> PromptEncoder::EncodeText(std::string_view text) {
  std::vector<model::TokenId> ids;
  Lease(this)->Encode(text, &ids);
  return ids;
}

std::vector<model::TokenId> PromptEncoder::Encode(const std::vector<Segment>& segments) {
  std::vector<std::string_view> specials;
  for (const model::TokenId id : tokenizer_->specials())
    specials.push_back(tokenizer_->TokenBytes(id));
  std::vector<model::TokenId> ids;
  Lease encoder(this);
  std::string pending;
  for (const Segment& segment : segments) {
    if (!segment.from_template) {
      pending += segment.text;
      continue;
    }
    model::SpecialFinder finder(segment.text, specials);
    while (true) {
      const model::SpecialFinder::Piece piece = finder.Next();
      pending += piece.text;
      if (piece.special < 0) break;
      encoder->Encode(pending, &ids);
      pending.clear();
      ids.push_back(tokenizer_->specials()[static_cast<size_t>(piece.special)]);
    }
  }
  encoder->Encode(pending, &ids);
  return ids;
}

}  // namespace longrun::serving
