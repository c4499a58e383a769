// C = A B by MLX's C++ API, on one of its devices.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gemm.h"
#include "mlx/array.h"
#include "mlx/device.h"

namespace gemmscope {

// Operand pairs in MLX's own memory. MLX's streams belong to a thread: make and use an object in one thread.
class MlxCalls {
 public:
  // Copies C-contiguous operands of shapes (m, k) and (k, n). Throws std::invalid_argument if the device is not there,
  // if there is no pair, or if a view is not C-contiguous or its dimensions do not fit.
  MlxCalls(std::span<const std::pair<Operand, Operand>> pairs, const std::string& device);

  // Seconds for `loops` calls, each waited for. MLX is lazy: without eval only a graph would be built.
  [[nodiscard]] double latency(std::size_t loops, std::size_t first) const;

  // Seconds for `loops` independent calls and one wait after all of them. Their results live until then.
  [[nodiscard]] double throughput(std::size_t loops, std::size_t first) const;

  // Seconds for `length` chained calls and one wait: C = A B, then C = C B and so on, with `factor` on B. Each needs
  // the one before, so that no two can overlap. Throws std::invalid_argument if B is not square.
  [[nodiscard]] double chain(std::size_t length, std::size_t first, float factor) const;

  // Multiplies pair `pair` and writes the result, row-major, to `out`. Throws std::out_of_range if there is no such
  // pair.
  void product(std::size_t pair, std::span<float> out) const;

  [[nodiscard]] std::size_t product_size() const;

  // The operands' smallest common alignment, in bytes. On the cpu device only: elsewhere 0.
  [[nodiscard]] std::size_t alignment() const;

 private:
  mlx::core::Device device_;
  std::vector<std::pair<mlx::core::array, mlx::core::array>> pairs_;
};

// The version of the libmlx that is loaded, and whether a device can be used.
std::string mlx_version();
bool mlx_has_device(const std::string& device);

}  // namespace gemmscope
