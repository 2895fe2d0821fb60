#include "module.h"

#include <string>

namespace longrun::python {
namespace {

class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace

void Raise(const absl::Status& status) {
  const std::string message(status.message());
  if (status.code() == absl::StatusCode::kFailedPrecondition) throw Refused(message);
  throw pybind11::value_error(message);
}

PYBIND11_MODULE(_longrun, module) {
  pybind11::register_exception<Refused>(module, "Refused", PyExc_ValueError);
  AddFit(module);
  AddPlan(module);
}

}  // namespace longrun::python
