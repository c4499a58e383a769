// C = A B by cuBLAS, whose libraries are found when they are needed: nothing of CUDA is there when this is built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gemm.h"

namespace gemmscope {

// The functions of CUDA's runtime and of cuBLAS that are called here. Private to cublas.cpp.
struct CudaApi;

// What a call is computed in: IEEE float32, or TF32, the 19-bit format of NVIDIA's tensor cores.
enum class CudaMath : int { float32 = 0, tf32 = 3 };  // CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH

// Operand pairs in the memory of the first CUDA device, room for one result, and a stream of their own.
class CublasCalls {
 public:
  // Copies C-contiguous operands of shapes (m, k) and (k, n), all pairs alike, to the device. `runtime` and `blas`
  // are the files of libcudart and libcublas.
  // Throws std::runtime_error, in words and with CUDA's name for the error, if a library or a device is not there or
  // reports one, or if the device has too little memory free; std::invalid_argument if operands do not fit together.
  CublasCalls(std::span<const std::pair<Operand, Operand>> pairs, CudaMath math, const std::string& runtime,
              const std::string& blas);
  CublasCalls(const CublasCalls&) = delete;
  CublasCalls& operator=(const CublasCalls&) = delete;
  ~CublasCalls();

  // Seconds for `loops` calls, going round from `first`, each waited for.
  [[nodiscard]] double latency(std::size_t loops, std::size_t first) const;

  // Seconds for `loops` calls and one wait after all of them.
  [[nodiscard]] double throughput(std::size_t loops, std::size_t first) const;

  // Seconds for `loops` calls by the device's own clock. The stream is held up until they are all in its queue, so
  // that the device never waits for the processor between two of them.
  [[nodiscard]] double event_seconds(std::size_t loops, std::size_t first) const;

  // Multiplies pair `pair` and writes the result, row-major, to `out`. Throws std::out_of_range if there is no such
  // pair, std::invalid_argument if `out` is of another size.
  void product(std::size_t pair, std::span<float> out) const;

  [[nodiscard]] std::size_t product_size() const { return static_cast<std::size_t>(m_) * static_cast<std::size_t>(n_); }

  // The files that were found, and their versions as they number them (13000 is 13.0 of the runtime).
  [[nodiscard]] const std::string& runtime_image() const;
  [[nodiscard]] const std::string& blas_image() const;
  [[nodiscard]] int runtime_version() const;
  [[nodiscard]] int blas_version() const;

 private:
  // What the device or cuBLAS has made, and what unmakes it. The libraries themselves stay loaded.
  using Owned = std::unique_ptr<void, int (*)(void*)>;

  void enqueue(std::size_t i) const;
  void wait() const;
  float* allocate(std::size_t elements);

  std::unique_ptr<const CudaApi> api_;
  std::int32_t m_ = 0;
  std::int32_t n_ = 0;
  std::int32_t k_ = 0;
  // Destroyed from the last to the first: the handle before its stream, and that before the memory it works on.
  std::vector<Owned> memory_;
  std::vector<std::pair<const float*, const float*>> pairs_;
  float* out_ = nullptr;
  Owned stream_;
  Owned begin_;
  Owned end_;
  Owned handle_;
};

// The number of CUDA devices. Throws std::runtime_error as CublasCalls does.
int cuda_devices(const std::string& runtime, const std::string& blas);

}  // namespace gemmscope
