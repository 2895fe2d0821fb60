// How long a step of so many tokens takes, learnt from the steps that were run, and how many tokens
// therefore fit into a latency goal. Pure: it is told seconds, it reads no clock.
//
// The model is seconds = fixed + per_token * tokens: reading the weights costs the same whatever
// the batch, the arithmetic is proportional to it. Steps are remembered as moving means in classes
// of size (1, 2-3, 4-7, …), and the line goes through the classes' means by least squares of the
// relative error; so thousands of decode steps do not outvote the few long prompts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace longrun::serving {

class StepTimes {
 public:
  void Add(int64_t tokens, double seconds);

  struct Line {
    double fixed_seconds = 0;
    double seconds_per_token = 0;
  };
  // Nothing before the first step.
  std::optional<Line> line() const { return line_; }
  // 0 before the first step.
  double Seconds(int64_t tokens) const;
  // The most tokens whose step takes at most so long; nothing before two sizes were seen, since one
  // size alone does not tell the fixed part from the rest.
  std::optional<int64_t> TokensWithin(double seconds) const;

 private:
  struct Class {
    double steps = 0;                // saturates: later steps weigh as much as a 32nd
    double tokens = 0, seconds = 0;  // moving means
  };
  void Fit();

  std::array<Class, 24> classes_;
  int64_t seen_classes_ = 0;
  std::optional<Line> line_;
};

}  // namespace longrun::serving
