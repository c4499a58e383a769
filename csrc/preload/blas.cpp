// libgemmscope_blas: the CBLAS calls of MLX, by OpenBLAS.
//
// MLX's wheel for the processor on Linux brings netlib's reference BLAS. A library that LD_PRELOAD names comes before
// it in every look-up, so that MLX calls these functions instead. Nothing else of BLAS or LAPACK is replaced.
#include <cstdint>

namespace {
using Int = std::int32_t;
}

// Declared here, because scipy-openblas32's header names the functions without the prefix that its library gives them.
extern "C" {
void scipy_cblas_sgemm(int, int, int, Int, Int, Int, float, const float*, Int, const float*, Int, float, float*, Int);
void scipy_cblas_dgemm(int, int, int, Int, Int, Int, double, const double*, Int, const double*, Int, double, double*,
                       Int);
void scipy_cblas_cgemm(int, int, int, Int, Int, Int, const void*, const void*, Int, const void*, Int, const void*,
                       void*, Int);
char* scipy_openblas_get_config();

// By OpenBLAS's own name, so that whoever asks this library what it is learns what is behind it.
[[gnu::visibility("default")]] char* openblas_get_config() { return scipy_openblas_get_config(); }

[[gnu::visibility("default")]] void cblas_sgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k,
                                                float alpha, const float* a, Int lda, const float* b, Int ldb,
                                                float beta, float* c, Int ldc) {
  scipy_cblas_sgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

[[gnu::visibility("default")]] void cblas_dgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k,
                                                double alpha, const double* a, Int lda, const double* b, Int ldb,
                                                double beta, double* c, Int ldc) {
  scipy_cblas_dgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

[[gnu::visibility("default")]] void cblas_cgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k,
                                                const void* alpha, const void* a, Int lda, const void* b, Int ldb,
                                                const void* beta, void* c, Int ldc) {
  scipy_cblas_cgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
}
