// How a subcommand says what it is: its flags, what shells complete, what it does.
//
// A subcommand that needs nothing of main.cc has a function Declare… in its own file, which main.cc
// calls with a `Declare` of its own; values of flags live as long as the function that `act` is.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/completion.h"

namespace longrun::cli {

struct Declared {
  CLI::App* app = nullptr;
  CommandShape::Words words = CommandShape::Words::kNone;
  std::vector<std::string> choices;
  std::function<int()> act;  // returns the exit code
};

// Name, description and examples of a new subcommand.
using Declare =
    std::function<Declared&(const std::string&, const std::string&, const std::string&)>;

void DeclareFit(const Declare& declare);
void DeclarePassRate(const Declare& declare);
void DeclareDownstream(const Declare& declare);
void DeclarePlan(const Declare& declare);
void DeclareBacktest(const Declare& declare);
void DeclarePredict(const Declare& declare);
void DeclareCheck(const Declare& declare);
void DeclareSweep(const Declare& declare);
void DeclareServe(const Declare& declare);
void DeclareBenchServe(const Declare& declare);
void DeclareTop(const Declare& declare);

}  // namespace longrun::cli
