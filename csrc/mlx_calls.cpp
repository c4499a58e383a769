#include "mlx_calls.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <stdexcept>

#include "mlx/memory.h"
#include "mlx/ops.h"
#include "mlx/transforms.h"
#include "mlx/version.h"
#include "timing.h"

namespace gemmscope {
namespace {

namespace mx = mlx::core;

mx::Device device_named(const std::string& name) {
  if (name == "cpu") {
    return {mx::Device::cpu};
  }
  if (name == "gpu") {
    return {mx::Device::gpu};
  }
  throw std::invalid_argument("device: expected 'cpu' or 'gpu', got '" + name + "'");
}

mx::array copied(const Operand& operand, const char* argument) {
  const bool rows_adjoin = operand.rows <= 1 || operand.row_stride == operand.columns;
  const bool elements_adjoin = operand.columns <= 1 || operand.column_stride == 1;
  if (!operand.empty() && !(rows_adjoin && elements_adjoin)) {
    throw std::invalid_argument(std::string(argument) + ": expected a C-contiguous matrix");
  }
  if (operand.rows > max_blas_int || operand.columns > max_blas_int) {
    throw std::invalid_argument(std::string(argument) + ": a dimension is beyond MLX's 32-bit shape");
  }
  const mx::Shape shape{static_cast<mx::ShapeElem>(operand.rows), static_cast<mx::ShapeElem>(operand.columns)};
  // The constructor from an iterator always copies into memory of MLX's allocator, on every platform.
  return mx::array(operand.data, shape, mx::float32);
}

}  // namespace

MlxCalls::MlxCalls(std::span<const std::pair<Operand, Operand>> pairs, const std::string& device)
    : device_(device_named(device)) {
  if (!mx::is_available(device_)) {
    throw std::invalid_argument("device: MLX has no " + device + " here");
  }
  if (pairs.empty()) {
    throw std::invalid_argument("pairs: expected at least one pair of operands, got none");
  }
  pairs_.reserve(pairs.size());
  for (const auto& [a, b] : pairs) {
    if (a.columns != b.rows) {
      throw std::invalid_argument("pairs: a has " + std::to_string(a.columns) + " columns, but b has " +
                                  std::to_string(b.rows) + " rows");
    }
    pairs_.emplace_back(copied(a, "a"), copied(b, "b"));
  }
}

double MlxCalls::latency(std::size_t loops, std::size_t first) const {
  return time_rotation(pairs_.size(), loops, first, [this](std::size_t i) {
    const auto& [a, b] = pairs_[i];
    mx::eval(mx::matmul(a, b, device_));
  });
}

double MlxCalls::throughput(std::size_t loops, std::size_t first) const {
  check_loops(loops);
  std::vector<mx::array> results;
  results.reserve(loops);
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t loop = 0; loop < loops; ++loop) {
    const auto& [a, b] = pairs_[(first + loop) % pairs_.size()];
    results.push_back(mx::matmul(a, b, device_));
  }
  mx::eval(results);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

double MlxCalls::chain(std::size_t length, std::size_t first, float factor) const {
  check_loops(length);
  const auto& [a, b] = pairs_[first % pairs_.size()];
  if (b.shape(0) != b.shape(1)) {
    throw std::invalid_argument("pairs: a chain needs a square b");
  }
  mx::array link = mx::multiply(b, mx::array(factor), device_);
  mx::eval(link);
  const auto start = std::chrono::steady_clock::now();
  mx::array product = a;
  for (std::size_t i = 0; i < length; ++i) {
    product = mx::matmul(product, link, device_);
  }
  mx::eval(product);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

void MlxCalls::product(std::size_t pair, std::span<float> out) const {
  const auto& [a, b] = pairs_.at(pair);
  if (out.size() != product_size()) {
    throw std::invalid_argument("out: expected " + std::to_string(product_size()) + " elements, got " +
                                std::to_string(out.size()));
  }
  if (out.empty()) {
    return;
  }
  {
    auto product = mx::matmul(a, b, device_);
    mx::eval(product);
    std::copy_n(product.data<float>(), out.size(), out.begin());
  }
  // On CUDA data() moves the buffer to managed memory for good. Without this, the next result could be given that
  // buffer out of MLX's cache, and a reading for verification would slow the timing that follows it.
  mx::clear_cache();
}

std::size_t MlxCalls::product_size() const {
  const auto& [a, b] = pairs_.front();
  return static_cast<std::size_t>(a.shape(0)) * static_cast<std::size_t>(b.shape(1));
}

std::size_t MlxCalls::alignment() const {
  if (device_ != mx::Device::cpu) {
    return 0;
  }
  std::uintptr_t bits = 4096;  // a page: nothing looks further
  for (const auto& [a, b] : pairs_) {
    for (const auto* operand : {&a, &b}) {
      if (operand->size() != 0) {
        bits |= reinterpret_cast<std::uintptr_t>(operand->data<float>());
      }
    }
  }
  return std::size_t{1} << std::countr_zero(bits);
}

std::string mlx_version() { return mx::version(); }

bool mlx_has_device(const std::string& device) { return mx::is_available(device_named(device)); }

}  // namespace gemmscope
