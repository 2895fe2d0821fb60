#include "scaling/laws/published.h"

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/nearest.h"

namespace longrun::scaling {
namespace {

PublishedFit Make(const std::string& name, const std::string& source, const std::string& law,
                  const std::map<std::string, double>& parameters) {
  PublishedFit fit;
  fit.name = name;
  fit.source = source;
  const absl::StatusOr<const Law*> found = FindLaw(law);
  LR_CHECK(found.ok());
  fit.law = *found;
  fit.parameters.resize(fit.law->parameter_count());
  for (int i = 0; i < fit.law->parameter_count(); ++i) {
    const auto value = parameters.find(fit.law->parameters()[i].name);
    LR_CHECK(value != parameters.end());
    fit.parameters[i] = value->second;
  }
  return fit;
}

}  // namespace

const std::vector<PublishedFit>& PublishedFits() {
  static const std::vector<PublishedFit> fits{
      Make("besiroglu", "Besiroglu et al. 2024, the Chinchilla replication, 240 points",
           "chinchilla",
           {{"A", 482.006}, {"B", 2085.43}, {"E", 1.81686}, {"alpha", 0.34781}, {"beta", 0.36585}}),
      Make("hoffmann", "Hoffmann et al. 2022, approach 3, unrounded", "chinchilla",
           {{"A", 406.401}, {"B", 410.723}, {"E", 1.69337}, {"alpha", 0.33917}, {"beta", 0.28491}}),
      // Printed as a·N^b + a'·6^(b/2)·D^b + E.
      Make("gadre", "Gadre et al. 2024, RedPajama, loss on C4", "chinchilla",
           {{"A", 166.211},
            {"B", 366.687 * std::pow(6, -0.272851 / 2)},
            {"E", 1.836648},
            {"alpha", 0.272851},
            {"beta", 0.272851}}),
      Make("kaplan", "Kaplan et al. 2020, parameters without embeddings", "kaplan",
           {{"N_c", 8.8e13}, {"D_c", 5.4e13}, {"alpha_N", 0.076}, {"alpha_D", 0.095}})};
  return fits;
}

absl::StatusOr<PublishedFit> FindPublishedFit(const std::string& name) {
  std::vector<std::string> names;
  for (const PublishedFit& fit : PublishedFits()) {
    if (fit.name == name) return fit;
    names.push_back(fit.name);
  }
  return absl::NotFoundError(absl::StrCat("no law was published by the name \"", name, "\"",
                                          DidYouMean(name, names), "; there are ",
                                          absl::StrJoin(names, ", ")));
}

}  // namespace longrun::scaling
