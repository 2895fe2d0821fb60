// Laws as papers print them, by name: to plan and compare without points of one's own. They come
// without the covariance of their parameters, so nothing planned by them has intervals.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "scaling/laws/law.h"

namespace longrun::scaling {

struct PublishedFit {
  std::string name;    // "besiroglu"
  std::string source;  // paper, table
  const Law* law = nullptr;
  Vector parameters;  // natural, in the order of law->parameters()
};

const std::vector<PublishedFit>& PublishedFits();
// NotFound names those there are, the nearest one first.
absl::StatusOr<PublishedFit> FindPublishedFit(const std::string& name);

}  // namespace longrun::scaling
