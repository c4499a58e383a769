// The library's own call of Accelerate, for Python: csrc/blas.cpp is compiled as it is on a Mac.
#include <cstring>

#include "blas.h"

extern "C" void call_multiply(int order, int transpose_a, int transpose_b, int m, int n, int k, const float* a, int lda,
                              const float* b, int ldb, float* c, int ldc) {
  gemmscope::multiply({.order = static_cast<gemmscope::Order>(order),
                       .transpose_a = static_cast<gemmscope::Transpose>(transpose_a),
                       .transpose_b = static_cast<gemmscope::Transpose>(transpose_b),
                       .m = m, .n = n, .k = k, .a = a, .lda = lda, .b = b, .ldb = ldb, .c = c, .ldc = ldc});
}

extern "C" void call_describe(char* text, std::size_t size) {
  const auto told = gemmscope::describe_blas();
  std::strncpy(text, (told.interface + "\n" + told.symbol + "\n" + told.image).c_str(), size - 1);
}
