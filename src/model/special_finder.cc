#include "model/special_finder.h"

#include <utility>

namespace longrun::model {

SpecialFinder::SpecialFinder(std::string_view text, std::vector<std::string_view> specials)
    : text_(text), specials_(std::move(specials)) {
  for (const std::string_view special : specials_) places_.push_back(text_.find(special));
}

SpecialFinder::Piece SpecialFinder::Next() {
  size_t where = std::string_view::npos;
  int which = -1;
  for (size_t i = 0; i < specials_.size(); ++i) {
    // Each special token's next place is kept, so the text is searched once for each.
    if (places_[i] != std::string_view::npos && places_[i] < at_) {
      places_[i] = text_.find(specials_[i], at_);
    }
    if (places_[i] == std::string_view::npos) continue;
    const bool longer =
        places_[i] == where && specials_[i].size() > specials_[static_cast<size_t>(which)].size();
    if (places_[i] < where || longer) {
      where = places_[i];
      which = static_cast<int>(i);
    }
  }
  if (which < 0) return {text_.substr(at_), -1};
  const Piece piece{text_.substr(at_, where - at_), which};
  at_ = where + specials_[static_cast<size_t>(which)].size();
  return piece;
}

}  // namespace longrun::model
