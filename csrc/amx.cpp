#include "amx.h"

#if defined(__APPLE__) && defined(__aarch64__)
#include <array>
#include <cstdint>

extern "C" void gemmscope_amx_outer_products(std::uint64_t steps, const float* operands, float* out);
#else
#include <stdexcept>
#endif

namespace gemmscope {

#if defined(__APPLE__) && defined(__aarch64__)
std::size_t amx_outer_products(std::size_t steps) {
  constexpr std::size_t floats = 16;  // in a register of X or Y
  constexpr std::size_t accumulators = 4;
  alignas(64) std::array<float, 2 * floats> operands{};
  operands.fill(0.5F);
  gemmscope_amx_outer_products(steps, operands.data(), nullptr);
  return steps * accumulators * floats * floats * 2;
}
#else
std::size_t amx_outer_products(std::size_t /*steps*/) {
  throw std::runtime_error("AMX: gemmscope was not built for macOS on arm64");
}
#endif

}  // namespace gemmscope
