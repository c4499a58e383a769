// Stands in for Apple's Accelerate in tests on Linux: a plain product under Apple's names, so that what a Mac would call
// can be called. A file of Mach-O puts an underscore before each name and dlsym leaves it out; here both are exported.
#include <cstdint>

namespace {

template <class Integer>
void multiply(int order, int transpose_a, int transpose_b, Integer m, Integer n, Integer k, float alpha, const float* a,
              Integer lda, const float* b, Integer ldb, float beta, float* c, Integer ldc) {
  const auto at = [order](int transpose, Integer row, Integer column, Integer leading) {
    const bool by_rows = (order == 101) == (transpose == 111);
    return by_rows ? row * leading + column : column * leading + row;
  };
  for (Integer i = 0; i < m; ++i) {
    for (Integer j = 0; j < n; ++j) {
      double sum = 0;
      for (Integer l = 0; l < k; ++l) {
        sum += static_cast<double>(a[at(transpose_a, i, l, lda)]) * b[at(transpose_b, l, j, ldb)];
      }
      float& out = c[at(111, i, j, ldc)];
      out = static_cast<float>(alpha * sum + (beta == 0 ? 0.0 : beta * out));
    }
  }
}

}  // namespace

#define EXPORT(function, Integer, name)                                                                             \
  void function(int, int, int, Integer, Integer, Integer, float, const float*, Integer, const float*, Integer, float, \
                float*, Integer) __asm(name);                                                                        \
  void function(int order, int transpose_a, int transpose_b, Integer m, Integer n, Integer k, float alpha,           \
                const float* a, Integer lda, const float* b, Integer ldb, float beta, float* c, Integer ldc) {       \
    multiply<Integer>(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                \
  }

EXPORT(linked, std::int32_t, "_cblas_sgemm$NEWLAPACK")
EXPORT(looked_up, std::int32_t, "cblas_sgemm$NEWLAPACK")
EXPORT(looked_up_wide, std::int64_t, "cblas_sgemm$NEWLAPACK$ILP64")
