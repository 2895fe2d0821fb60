// --plot: pictures through gnuplot, into a file or onto the terminal. Any thread, one at a time.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "scaling/picture/picture.h"

namespace longrun::cli {

struct PlotFlags {
  std::string file;  // *.svg, *.png, or "-" for the terminal; "": no picture
  std::vector<std::string> panels;

  bool wanted() const { return !file.empty(); }
};

// `panels`: their names, for the help.
void AddPlotFlags(CLI::App* app, PlotFlags& flags, const std::string& panels);

// OK for flags that ask for what can be drawn; to be called before the work that the picture shows.
absl::Status CheckPlotFlags(const PlotFlags& flags);

// Draws `picture`, or the panels of it that are asked for. NotFound where gnuplot is not installed,
// with how to install it; InvalidArgument for a panel that there is not.
absl::Status Plot(const scaling::Picture& picture, const PlotFlags& flags);

}  // namespace longrun::cli
