#include "blas.h"

#include <algorithm>
#include <cstddef>

#include "symbols.h"

#ifdef GEMMSCOPE_ACCELERATE
#include <Accelerate/Accelerate.h>
#define GEMMSCOPE_SGEMM cblas_sgemm
#else
// Declared here, and not taken from a cblas.h, because the headers differ in their enumerations' names and in whether
// the prefix of the symbol is applied; the binary interface is the same in all.
extern "C" void GEMMSCOPE_SGEMM(int order, int transpose_a, int transpose_b, gemmscope::BlasInt m, gemmscope::BlasInt n,
                                gemmscope::BlasInt k, float alpha, const float* a, gemmscope::BlasInt lda,
                                const float* b, gemmscope::BlasInt ldb, float beta, float* c, gemmscope::BlasInt ldc);
#endif

namespace gemmscope {
namespace {

#ifdef GEMMSCOPE_ACCELERATE
constexpr const char* interface_name = "Accelerate";
constexpr const char* symbol_name = "cblas_sgemm$NEWLAPACK";
using OrderArgument = CBLAS_ORDER;
using TransposeArgument = CBLAS_TRANSPOSE;
#else
constexpr const char* interface_name = "CBLAS";
constexpr const char* symbol_name = GEMMSCOPE_SGEMM_NAME;
using OrderArgument = int;
using TransposeArgument = int;
#endif

// BLAS leaves it open whether an empty K clears C; mathematics does not.
void clear(const Gemm& call) noexcept {
  const bool by_rows = call.order == Order::row_major;
  const std::ptrdiff_t lines = by_rows ? call.m : call.n;
  const std::ptrdiff_t length = by_rows ? call.n : call.m;
  for (std::ptrdiff_t line = 0; line < lines; ++line) {
    std::fill_n(call.c + line * call.ldc, length, 0.0F);
  }
}

}  // namespace

void multiply(const Gemm& call) noexcept {
  if (call.m == 0 || call.n == 0) {
    return;
  }
  if (call.k == 0) {
    clear(call);
    return;
  }
  GEMMSCOPE_SGEMM(static_cast<OrderArgument>(call.order), static_cast<TransposeArgument>(call.transpose_a),
                  static_cast<TransposeArgument>(call.transpose_b), call.m, call.n, call.k, 1.0F, call.a, call.lda,
                  call.b, call.ldb, 0.0F, call.c, call.ldc);
}

BlasDescription describe_blas() {
  // A function pointer is turned into a void* by its bytes: POSIX promises that dladdr can take it.
  const std::string image = image_of(reinterpret_cast<const void*>(&GEMMSCOPE_SGEMM));
  return {interface_name, symbol_name, image, description_of(image)};
}

}  // namespace gemmscope
