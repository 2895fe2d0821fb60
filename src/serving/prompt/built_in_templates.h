// The chat templates that come with Longrun, for models that bring none or a wrong one. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace longrun::serving {

struct BuiltInTemplate {
  std::string_view name;
  std::vector<std::string> stop;  // texts that end an answer
  std::string_view source;
};

const std::vector<BuiltInTemplate>& BuiltInTemplates();

}  // namespace longrun::serving
