// Names that cannot be mixed up: a RunId is not a NodeId though both are text.
#pragma once

#include <compare>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

namespace longrun {

template <class Tag>
struct Name {
  std::string text;

  Name() = default;
  explicit Name(std::string t) : text(std::move(t)) {}
  bool empty() const { return text.empty(); }
  auto operator<=>(const Name&) const = default;
  template <class A>
  void Visit(A& a) {
    a("text", text);
  }
  friend std::ostream& operator<<(std::ostream& out, const Name& name) { return out << name.text; }
  template <class H>
  friend H AbslHashValue(H h, const Name& name) {
    return H::combine(std::move(h), name.text);
  }
};

}  // namespace longrun
