// The agent alone, for tests of engines that start agents: the `longrun` binary brings much more.
#include <cstdio>
#include <string>
#include <vector>

#include "agent/agent.h"

int main(int argc, char** argv) {
  const auto options =
      longrun::agent::ParseOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (!options.ok()) {
    fprintf(stderr, "%s\n", std::string(options.status().message()).c_str());
    return 2;
  }
  return longrun::agent::Main(*options);
}
