#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "fit_module.h"
#include "module.h"
#include "scaling/laws/published.h"
#include "scaling/plan/json.h"

namespace longrun::python {
namespace {

namespace py = pybind11;
using scaling::PlanRequest;

using Amounts = std::map<std::string, double>;
using NamedText = std::optional<std::pair<std::string, std::string>>;  // name, YAML

void ByFit(const HeldFit& fit, PlanRequest& request) {
  CheckTrusted(fit);
  const scaling::FitRecord& record = fit.record;
  request.loss = OrRaise(scaling::LossOfLaw(*record.fit.law, record.fit.parameters));
  for (const scaling::Vector& parameters : record.bootstrap.parameters) {
    request.others.push_back(OrRaise(scaling::LossOfLaw(*record.fit.law, parameters)));
  }
  for (const scaling::Point& point : record.points) {
    request.fitted_flop =
        std::max(request.fitted_flop, scaling::kFlopPerParamToken * point.params * point.tokens);
  }
}

void ByName(const std::string& name, PlanRequest& request) {
  const scaling::PublishedFit fit = OrRaise(scaling::FindPublishedFit(name));
  request.loss = OrRaise(scaling::LossOfLaw(*fit.law, fit.parameters));
}

void ReadAmounts(const Amounts& amounts, PlanRequest& request) {
  scaling::PlanLimits& limits = request.limits;
  const std::map<std::string, std::optional<double>*> places{{"target_loss", &request.target_loss},
                                                             {"params", &request.params},
                                                             {"tokens", &request.tokens},
                                                             {"compute", &limits.compute_flop},
                                                             {"money", &limits.money},
                                                             {"seconds", &limits.seconds},
                                                             {"watts", &limits.watts},
                                                             {"accelerators", &limits.accelerators},
                                                             {"data_tokens", &limits.data_tokens}};
  for (const auto& [name, value] : amounts) {
    if (!(value > 0) || !std::isfinite(value)) throw py::value_error(name + ": above 0 is right");
    if (name == "served_tokens") {
      request.served_tokens = value;
    } else if (name == "batch_tokens") {
      request.batch_tokens = value;
    } else {
      const auto place = places.find(name);
      if (place == places.end()) throw py::value_error("no amount is called " + name);
      *place->second = value;
    }
  }
}

// Answers with the JSON that `longrun plan --json` prints.
std::string Plan(PlanRequest request, const Amounts& amounts, const NamedText& cluster_text,
                 const NamedText& shape_text, int64_t context) {
  ReadAmounts(amounts, request);
  if (context < 1) throw py::value_error("context: at least 1 is right");
  request.context = context;
  if (shape_text) {
    request.shape = OrRaise(scaling::ParseModelShape(shape_text->second, shape_text->first));
    if (!request.params) request.params = request.shape->Params();
  }
  std::optional<scaling::Cluster> cluster;
  if (cluster_text) {
    cluster = OrRaise(scaling::ParseCluster(cluster_text->second, cluster_text->first));
  }
  const scaling::Cluster* on = cluster ? &*cluster : nullptr;
  return scaling::PlanJson(OrRaise(scaling::MakePlan(request, on)), on).dump();
}

}  // namespace

void AddPlan(py::module_& module) {
  module.def("plan_by_fit", [](const HeldFit& fit, const Amounts& amounts, const NamedText& cluster,
                               const NamedText& shape, int64_t context) {
    PlanRequest request;
    ByFit(fit, request);
    return Plan(std::move(request), amounts, cluster, shape, context);
  });
  module.def("plan_by_name", [](const std::string& name, const Amounts& amounts,
                                const NamedText& cluster, const NamedText& shape, int64_t context) {
    PlanRequest request;
    ByName(name, request);
    return Plan(std::move(request), amounts, cluster, shape, context);
  });
}

}  // namespace longrun::python
