// Two kinds of time that cannot be mixed up.
//
// Time is a point on the journal's clock: microseconds since the Unix epoch, never decreasing along
// the journal. Everything that is decided or accounted uses it, and receives it as an argument.
// Stopwatch measures elapsed seconds on the machine's steady clock, for figures and timeouts at the
// edge. The clocks themselves are read at the edge alone: WallClock in main loops, nowhere else.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

namespace longrun {

// A span of time in whole microseconds; whole, so that accounts of time add up exactly.
struct Duration {
  int64_t us = 0;

  static constexpr Duration Micros(int64_t n) { return {n}; }
  static constexpr Duration Millis(int64_t n) { return {n * 1000}; }
  static constexpr Duration Seconds(double s) { return {static_cast<int64_t>(s * 1e6)}; }
  static constexpr Duration Minutes(double m) { return Seconds(m * 60); }
  static constexpr Duration Hours(double h) { return Seconds(h * 3600); }
  constexpr double seconds() const { return static_cast<double>(us) / 1e6; }
  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration o) const { return {us + o.us}; }
  constexpr Duration operator-(Duration o) const { return {us - o.us}; }
  constexpr Duration operator*(int64_t n) const { return {us * n}; }
  template <class A>
  void Visit(A& a) {
    a("us", us);
  }
};

struct Time {
  int64_t us = 0;  // since the Unix epoch; 0 means "never"

  constexpr auto operator<=>(const Time&) const = default;
  constexpr bool never() const { return us == 0; }
  constexpr Duration operator-(Time o) const { return {us - o.us}; }
  constexpr Time operator+(Duration d) const { return {us + d.us}; }
  constexpr Time operator-(Duration d) const { return {us - d.us}; }
  template <class A>
  void Visit(A& a) {
    a("us", us);
  }
};

// "2026-11-20T12:00:00.250Z" (UTC, milliseconds).
std::string FormatTime(Time t);
// "250 ms", "1.8 s", "2 min 05 s", "3 h 12 min": for people.
std::string FormatDuration(Duration d);

// The machine's wall clock, made never to go back within a process.
class WallClock {
 public:
  // `floor`: the newest time already in the journal; no later reading is below it.
  explicit WallClock(Time floor = {}) : last_(floor) {}
  Time Now();

 private:
  Time last_;
};

class Stopwatch {
 public:
  Stopwatch() : start_(std::chrono::steady_clock::now()) {}
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void Restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_;
};

}  // namespace longrun
