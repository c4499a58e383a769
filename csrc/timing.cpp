#include "timing.h"

#include <atomic>
#include <stdexcept>

namespace gemmscope {

double time_gemms(std::span<const Gemm> calls, std::size_t loops, std::size_t first) {
  if (calls.empty()) {
    throw std::invalid_argument("plans: expected at least one plan, got none");
  }
  return time_rotation(calls.size(), loops, first, [calls](std::size_t i) { multiply(calls[i]); });
}

double time_nothing(std::size_t loops) {
  // The fence costs no instruction, and keeps the compiler from removing the loop.
  return time_rotation(10, loops, 0, [](std::size_t) { std::atomic_signal_fence(std::memory_order_seq_cst); });
}

}  // namespace gemmscope
