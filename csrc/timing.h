// Loops in C++ under a steady clock: what a call costs when no Python stands between the calls.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include "blas.h"

namespace gemmscope {

// Some minutes of calls that take nothing. Who asks for more has divided by a time that is none, and nothing ends a
// loop.
inline constexpr std::size_t most_loops = std::size_t{1} << 40U;

// Throws std::invalid_argument if there are too many.
inline void check_loops(std::size_t loops) {
  if (loops > most_loops) {
    throw std::invalid_argument("loops: expected at most " + std::to_string(most_loops) + ", got " +
                                std::to_string(loops));
  }
}

// Calls `call(i)` `loops` times, i going round 0 .. count-1 from `first`; returns the seconds that it all took.
// Throws std::invalid_argument if that is more than most_loops, and nothing else of its own. count must be above 0.
template <class Call>
double time_rotation(std::size_t count, std::size_t loops, std::size_t first, Call&& call) {
  check_loops(loops);
  std::size_t i = first % count;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t loop = 0; loop < loops; ++loop) {
    call(i);
    // A comparison, not a remainder: a division would cost as much as the smallest call.
    if (++i == count) {
      i = 0;
    }
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

// The seconds that `loops` calls take, going round `calls` from `first`. Throws std::invalid_argument if `calls` is
// empty.
double time_gemms(std::span<const Gemm> calls, std::size_t loops, std::size_t first);

// The seconds that the same loop takes around nothing: the floor of every native figure.
double time_nothing(std::size_t loops);

}  // namespace gemmscope
