// The sgemm that a library has brought along, called by a pointer that was found at run time.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "blas.h"
#include "symbols.h"

namespace gemmscope {

namespace kernels {

// C's interface, with integers of 32 bits (LP64) or 64 (ILP64). The values of the enumerations are those of blas.h.
template <class Int>
struct CblasGemm {
  using Function = void(int order, int transpose_a, int transpose_b, Int m, Int n, Int k, float alpha, const float* a,
                        Int lda, const float* b, Int ldb, float beta, float* c, Int ldc);
  Function* function;
  void operator()(const Gemm& call) const noexcept;
};

// Fortran's: everything by reference, and column-major only. The lengths of the two strings, which gfortran appends,
// are left out, as PyTorch leaves them out: no BLAS reads them.
template <class Int>
struct FortranGemm {
  using Function = void(const char* transpose_a, const char* transpose_b, const Int* m, const Int* n, const Int* k,
                        const float* alpha, const float* a, const Int* lda, const float* b, const Int* ldb,
                        const float* beta, float* c, const Int* ldc);
  Function* function;
  void operator()(const Gemm& call) const noexcept;
};

// A matrix times a vector, where C has one row or one column: what NumPy calls then.
template <class Int>
struct CblasGemv {
  using Function = void(int order, int transpose, Int m, Int n, float alpha, const float* a, Int lda, const float* x,
                        Int incx, float beta, float* y, Int incy);
  Function* function;
  void operator()(const Gemm& call) const noexcept;
};

}  // namespace kernels

class Kernel {
 public:
  // `convention` is "cblas-lp64", "cblas-ilp64", "fortran-lp64" or "fortran-ilp64"; `routine` is "sgemm", or "sgemv"
  // for C's interface. The symbol is what `image` would call by that name, or its own: see find_symbol. Throws
  // std::invalid_argument if it is not there, or the convention or routine is none of these.
  Kernel(const std::string& image, const std::string& symbol, std::string_view convention, std::string_view routine,
         Scope scope = Scope::global_first);

  // One call. No dimension may be 0; for sgemv M or N is 1.
  void multiply(const Gemm& call) const;

  // Seconds for `loops` calls, going round `calls` from `first`. Throws std::invalid_argument if `calls` is empty.
  [[nodiscard]] double time(std::span<const Gemm> calls, std::size_t loops, std::size_t first) const;

  // The file that holds the function, and what it says of itself.
  [[nodiscard]] const std::string& image() const { return image_; }
  [[nodiscard]] std::string description() const;

 private:
  using Function = std::variant<kernels::CblasGemm<std::int32_t>, kernels::CblasGemm<std::int64_t>,
                                kernels::FortranGemm<std::int32_t>, kernels::FortranGemm<std::int64_t>,
                                kernels::CblasGemv<std::int32_t>, kernels::CblasGemv<std::int64_t>>;

  std::string image_;
  bool needs_vector_;
  Function function_;
};

}  // namespace gemmscope
