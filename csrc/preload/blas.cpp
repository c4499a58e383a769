// libgemmscope_blas: the float32 multiplications of NumPy, PyTorch and MLX, by one OpenBLAS.
//
// A library that LD_PRELOAD names comes before all others in every look-up. PyTorch calls sgemm_, NumPy's wheels
// scipy_cblas_sgemm64_, MLX and other builds of NumPy cblas_sgemm. Beside sgemm stands what is called instead of it for
// some products of float32: sgemv for vectors, sdot for two of them, ssyrk for a matrix by its own transpose. With two
// libraries there, the threads of one would still spin while the other multiplies. dgemm and cgemm are there for MLX,
// whose own on Linux are netlib's. Nothing else of their BLAS and LAPACK is replaced. SciPy's
// wheel calls OpenBLAS by the very names of the one that this library is linked with, and so calls that one.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using Int = std::int32_t;
using Long = std::int64_t;

template <class... Integers>
bool fit(Integers... values) {
  return ((values == static_cast<Int>(values)) && ...);
}

const void* base_of(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
}

// The function that the caller would have called without this library. Integers that do not fit into OpenBLAS's 32 bits
// go there: a wrong product would be worse than another library's.
template <class Function>
Function* callers_own(const void* caller, const char* name) {
  Dl_info info{};
  if (dladdr(caller, &info) != 0 && info.dli_fname != nullptr) {
    void* image = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    void* found = image == nullptr ? nullptr : dlsym(image, name);
    // Of the program itself the loader asks the global scope, where this library is.
    if (found != nullptr && base_of(found) != base_of(reinterpret_cast<const void*>(&base_of))) {
      return reinterpret_cast<Function*>(found);
    }
  }
  std::fprintf(stderr,
               "libgemmscope_blas: %s was called with an integer of more than 32 bits, and its caller has no other "
               "BLAS; run this program without LD_PRELOAD\n",
               name);
  std::abort();
}

}  // namespace

// Declared here, because scipy-openblas32's header names the functions without the prefix that its library gives them.
extern "C" {
void scipy_cblas_sgemm(int, int, int, Int, Int, Int, float, const float*, Int, const float*, Int, float, float*, Int);
void scipy_cblas_sgemv(int, int, Int, Int, float, const float*, Int, const float*, Int, float, float*, Int);
void scipy_cblas_ssyrk(int, int, int, Int, Int, float, const float*, Int, float, float*, Int);
float scipy_cblas_sdot(Int, const float*, Int, const float*, Int);
void scipy_cblas_dgemm(int, int, int, Int, Int, Int, double, const double*, Int, const double*, Int, double, double*,
                       Int);
void scipy_cblas_cgemm(int, int, int, Int, Int, Int, const void*, const void*, Int, const void*, Int, const void*,
                       void*, Int);
void scipy_sgemm_(const char*, const char*, const Int*, const Int*, const Int*, const float*, const float*, const Int*,
                  const float*, const Int*, const float*, float*, const Int*);
void scipy_sgemv_(const char*, const Int*, const Int*, const float*, const float*, const Int*, const float*, const Int*,
                  const float*, float*, const Int*);
void scipy_ssyrk_(const char*, const char*, const Int*, const Int*, const float*, const float*, const Int*,
                  const float*, float*, const Int*);
float scipy_sdot_(const Int*, const float*, const Int*, const float*, const Int*);
char* scipy_openblas_get_config();
}

#define GEMMSCOPE_EXPORT extern "C" [[gnu::visibility("default")]]

// By OpenBLAS's own name, so that whoever asks this library what it is learns what is behind it.
GEMMSCOPE_EXPORT char* openblas_get_config() { return scipy_openblas_get_config(); }

// --- CBLAS, 32-bit integers ------------------------------------------------------------------------------------------

GEMMSCOPE_EXPORT void cblas_sgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k, float alpha,
                                  const float* a, Int lda, const float* b, Int ldb, float beta, float* c, Int ldc) {
  scipy_cblas_sgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

GEMMSCOPE_EXPORT void cblas_sgemv(int order, int transpose, Int m, Int n, float alpha, const float* a, Int lda,
                                  const float* x, Int step_x, float beta, float* y, Int step_y) {
  scipy_cblas_sgemv(order, transpose, m, n, alpha, a, lda, x, step_x, beta, y, step_y);
}

GEMMSCOPE_EXPORT void cblas_ssyrk(int order, int triangle, int transpose, Int n, Int k, float alpha, const float* a,
                                  Int lda, float beta, float* c, Int ldc) {
  scipy_cblas_ssyrk(order, triangle, transpose, n, k, alpha, a, lda, beta, c, ldc);
}

GEMMSCOPE_EXPORT float cblas_sdot(Int n, const float* x, Int step_x, const float* y, Int step_y) {
  return scipy_cblas_sdot(n, x, step_x, y, step_y);
}

GEMMSCOPE_EXPORT void cblas_dgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k, double alpha,
                                  const double* a, Int lda, const double* b, Int ldb, double beta, double* c, Int ldc) {
  scipy_cblas_dgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

GEMMSCOPE_EXPORT void cblas_cgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k, const void* alpha,
                                  const void* a, Int lda, const void* b, Int ldb, const void* beta, void* c, Int ldc) {
  scipy_cblas_cgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

// --- Fortran, 32-bit integers. OpenBLAS does not read the lengths of the letters that compilers pass last.
// ------------

GEMMSCOPE_EXPORT void sgemm_(const char* transpose_a, const char* transpose_b, const Int* m, const Int* n, const Int* k,
                             const float* alpha, const float* a, const Int* lda, const float* b, const Int* ldb,
                             const float* beta, float* c, const Int* ldc) {
  scipy_sgemm_(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

GEMMSCOPE_EXPORT void sgemv_(const char* transpose, const Int* m, const Int* n, const float* alpha, const float* a,
                             const Int* lda, const float* x, const Int* step_x, const float* beta, float* y,
                             const Int* step_y) {
  scipy_sgemv_(transpose, m, n, alpha, a, lda, x, step_x, beta, y, step_y);
}

GEMMSCOPE_EXPORT void ssyrk_(const char* triangle, const char* transpose, const Int* n, const Int* k,
                             const float* alpha, const float* a, const Int* lda, const float* beta, float* c,
                             const Int* ldc) {
  scipy_ssyrk_(triangle, transpose, n, k, alpha, a, lda, beta, c, ldc);
}

GEMMSCOPE_EXPORT float sdot_(const Int* n, const float* x, const Int* step_x, const float* y, const Int* step_y) {
  return scipy_sdot_(n, x, step_x, y, step_y);
}

// --- CBLAS, 64-bit integers: by the names of NumPy's wheels since 2.0, and of those before
// ----------------------------

#define GEMMSCOPE_ILP64(sgemm, sgemv, ssyrk, sdot)                                                                   \
  GEMMSCOPE_EXPORT void sgemm(int order, int transpose_a, int transpose_b, Long m, Long n, Long k, float alpha,      \
                              const float* a, Long lda, const float* b, Long ldb, float beta, float* c, Long ldc) {  \
    if (fit(m, n, k, lda, ldb, ldc)) {                                                                               \
      scipy_cblas_sgemm(order, transpose_a, transpose_b, static_cast<Int>(m), static_cast<Int>(n),                   \
                        static_cast<Int>(k), alpha, a, static_cast<Int>(lda), b, static_cast<Int>(ldb), beta, c,     \
                        static_cast<Int>(ldc));                                                                      \
    } else {                                                                                                         \
      callers_own<decltype(sgemm)>(__builtin_return_address(0), #sgemm)(order, transpose_a, transpose_b, m, n, k,    \
                                                                        alpha, a, lda, b, ldb, beta, c, ldc);        \
    }                                                                                                                \
  }                                                                                                                  \
  GEMMSCOPE_EXPORT void sgemv(int order, int transpose, Long m, Long n, float alpha, const float* a, Long lda,       \
                              const float* x, Long step_x, float beta, float* y, Long step_y) {                      \
    if (fit(m, n, lda, step_x, step_y)) {                                                                            \
      scipy_cblas_sgemv(order, transpose, static_cast<Int>(m), static_cast<Int>(n), alpha, a, static_cast<Int>(lda), \
                        x, static_cast<Int>(step_x), beta, y, static_cast<Int>(step_y));                             \
    } else {                                                                                                         \
      callers_own<decltype(sgemv)>(__builtin_return_address(0), #sgemv)(order, transpose, m, n, alpha, a, lda, x,    \
                                                                        step_x, beta, y, step_y);                    \
    }                                                                                                                \
  }                                                                                                                  \
  GEMMSCOPE_EXPORT void ssyrk(int order, int triangle, int transpose, Long n, Long k, float alpha, const float* a,   \
                              Long lda, float beta, float* c, Long ldc) {                                            \
    if (fit(n, k, lda, ldc)) {                                                                                       \
      scipy_cblas_ssyrk(order, triangle, transpose, static_cast<Int>(n), static_cast<Int>(k), alpha, a,              \
                        static_cast<Int>(lda), beta, c, static_cast<Int>(ldc));                                      \
    } else {                                                                                                         \
      callers_own<decltype(ssyrk)>(__builtin_return_address(0), #ssyrk)(order, triangle, transpose, n, k, alpha, a,  \
                                                                        lda, beta, c, ldc);                          \
    }                                                                                                                \
  }                                                                                                                  \
  GEMMSCOPE_EXPORT float sdot(Long n, const float* x, Long step_x, const float* y, Long step_y) {                    \
    if (fit(n, step_x, step_y)) {                                                                                    \
      return scipy_cblas_sdot(static_cast<Int>(n), x, static_cast<Int>(step_x), y, static_cast<Int>(step_y));        \
    }                                                                                                                \
    return callers_own<decltype(sdot)>(__builtin_return_address(0), #sdot)(n, x, step_x, y, step_y);                 \
  }

GEMMSCOPE_ILP64(scipy_cblas_sgemm64_, scipy_cblas_sgemv64_, scipy_cblas_ssyrk64_, scipy_cblas_sdot64_)
GEMMSCOPE_ILP64(cblas_sgemm64_, cblas_sgemv64_, cblas_ssyrk64_, cblas_sdot64_)
