// ATen's mm, called from C++ by the stable C interface that libtorch_cpu exports: without torch's headers, and so
// without being built for one version of torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "blas.h"

namespace gemmscope {

// Tensors on memory that somebody else owns, one call each, and the loop over them.
class TorchCalls {
 public:
  // `image` is the libtorch_cpu that is loaded. Throws std::runtime_error, naming the function, if it lacks one, or if
  // torch refuses a tensor.
  TorchCalls(const std::string& image, std::span<const Gemm> calls);
  TorchCalls(const TorchCalls&) = delete;
  TorchCalls& operator=(const TorchCalls&) = delete;

  // Seconds for `loops` calls of mm into each call's output, going round from `first`. The thread's own modes hold:
  // inference mode, number of threads. Throws std::runtime_error if torch reports an error.
  [[nodiscard]] double time(std::size_t loops, std::size_t first) const;

 private:
  // As in torch's shim.h: an opaque handle, and 0 for success.
  using Handle = struct AtenTensorOpaque*;
  using Error = std::int32_t;
  struct Api {
    Error (*create)(void* data, std::int64_t dimensions, const std::int64_t* sizes, const std::int64_t* strides,
                    std::int64_t offset, std::int32_t type, std::int32_t device, std::int32_t index, Handle* made);
    Error (*mm_out)(Handle out, Handle a, Handle b);
    Error (*remove)(Handle tensor);
    std::int32_t (*float32)();
    std::int32_t (*cpu)();
  };
  using Tensor = std::unique_ptr<AtenTensorOpaque, Error (*)(Handle)>;
  struct Call {
    Tensor a;
    Tensor b;
    Tensor out;
  };

  static Api find(const std::string& image);
  Tensor tensor(const float* data, std::int64_t rows, std::int64_t columns, bool by_rows, std::int64_t leading) const;

  Api api_;
  std::vector<Call> calls_;
};

}  // namespace gemmscope
