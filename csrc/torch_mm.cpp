#include "torch_mm.h"

#include <array>
#include <stdexcept>

#include "symbols.h"
#include "timing.h"

namespace gemmscope {
namespace {

template <class Function>
Function function_of(const std::string& image, const char* name) {
  const auto found = find_symbol(image, name);
  if (!found) {
    throw std::runtime_error(image + " does not export " + name);
  }
  return reinterpret_cast<Function>(found->address);
}

}  // namespace

TorchCalls::Api TorchCalls::find(const std::string& image) {
  return {function_of<decltype(Api::create)>(image, "aoti_torch_create_tensor_from_blob"),
          function_of<decltype(Api::mm_out)>(image, "aoti_torch_cpu_mm_out"),
          function_of<decltype(Api::remove)>(image, "aoti_torch_delete_tensor_object"),
          function_of<decltype(Api::float32)>(image, "aoti_torch_dtype_float32"),
          function_of<decltype(Api::cpu)>(image, "aoti_torch_device_type_cpu")};
}

TorchCalls::TorchCalls(const std::string& image, std::span<const Gemm> calls) : api_(find(image)) {
  if (calls.empty()) {
    throw std::invalid_argument("calls: expected at least one call, got none");
  }
  calls_.reserve(calls.size());
  for (const Gemm& call : calls) {
    const bool by_rows = call.order == Order::row_major;
    calls_.push_back({tensor(call.a, call.m, call.k, by_rows == (call.transpose_a == Transpose::no), call.lda),
                      tensor(call.b, call.k, call.n, by_rows == (call.transpose_b == Transpose::no), call.ldb),
                      tensor(call.c, call.m, call.n, by_rows, call.ldc)});
  }
}

TorchCalls::Tensor TorchCalls::tensor(const float* data, std::int64_t rows, std::int64_t columns, bool by_rows,
                                      std::int64_t leading) const {
  const std::array<std::int64_t, 2> sizes{rows, columns};
  const std::array<std::int64_t, 2> strides{by_rows ? leading : 1, by_rows ? 1 : leading};
  Handle made = nullptr;
  // torch writes to the output only.
  const Error error =
      api_.create(const_cast<float*>(data), 2, sizes.data(), strides.data(), 0, api_.float32(), api_.cpu(), 0, &made);
  if (error != 0 || made == nullptr) {
    throw std::runtime_error("torch could not make a tensor of memory that it was given");
  }
  return {made, api_.remove};
}

double TorchCalls::time(std::size_t loops, std::size_t first) const {
  Error error = 0;
  const double seconds = time_rotation(calls_.size(), loops, first, [this, &error](std::size_t i) {
    const Call& call = calls_[i];
    error |= api_.mm_out(call.out.get(), call.a.get(), call.b.get());
  });
  if (error != 0) {
    throw std::runtime_error("torch's mm reported an error");
  }
  return seconds;
}

}  // namespace gemmscope
