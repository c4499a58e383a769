// libgemmscope_blas: the float32 multiplications of NumPy, PyTorch, MLX and SciPy by any BLAS.
//
// A library that LD_PRELOAD names comes before all others in every look-up. PyTorch calls sgemm_, NumPy's wheels
// scipy_cblas_sgemm64_, SciPy's scipy_sgemm_, MLX and other builds of NumPy cblas_sgemm. Beside sgemm stands what is
// called instead of it for some products of float32: sgemv for vectors, sdot for two of them, ssyrk for a matrix by its
// own transpose. With two libraries there, the threads of one would still spin while the other multiplies. dgemm and
// cgemm are there for MLX, whose own on Linux are netlib's. Nothing else of their BLAS and LAPACK is replaced by us;
// but MKL's front publishes all of its parts, so that with MKL other names may be found there too.
//
// All of these end in the Fortran routines of the library that GEMMSCOPE_BLAS names, which every BLAS has. The calls
// that BLIS and netlib make to sgemm_ from their cblas_sgemm, and that would find this library, are so never made.
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

#include "blas_library.h"

#ifndef GEMMSCOPE_DEFAULT_BLAS
#error "GEMMSCOPE_DEFAULT_BLAS: the BLAS behind this library where GEMMSCOPE_BLAS names none, from this file's folder"
#endif

namespace {

using Int = std::int32_t;
using Long = std::int64_t;

// As the loader ends a program whose libraries it does not find.
constexpr int not_loaded = 127;

// Our caller is somebody's program: it is told in a line what is wrong, and ended before it computes anything wrong.
[[noreturn]] void end(const std::string& why, int status) {
  std::fprintf(stderr, "libgemmscope_blas: %s\n", why.c_str());
  std::fflush(nullptr);
  _exit(status);
}

std::string own_folder() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&own_folder), &info);
  const std::string file = info.dli_fname != nullptr ? info.dli_fname : "";
  return file.substr(0, file.rfind('/') + 1);
}

// As the program was started with it, whatever it changes in its environment later.
const std::string& target_path() {
  static const std::string path = [] {
    const char* asked = std::getenv("GEMMSCOPE_BLAS");
    if (asked != nullptr && *asked != '\0') {
      const std::string path = asked;
      // The program, or a child of it, may go to another folder before it multiplies.
      std::array<char, PATH_MAX> folder{};
      if (path.starts_with('/') || path.find('/') == std::string::npos || getcwd(folder.data(), PATH_MAX) == nullptr) {
        return path;
      }
      const std::string whole = std::string(folder.data()) + "/" + path;
      setenv("GEMMSCOPE_BLAS", whole.c_str(), 1);
      return whole;
    }
    const std::string usual = GEMMSCOPE_DEFAULT_BLAS;
    return usual.starts_with('/') ? usual : own_folder() + usual;
  }();
  return path;
}

// Before the program begins, and not in the middle of it. The library itself is not loaded yet: most of the programs
// that inherit LD_PRELOAD multiply nothing, and the others may still set how many threads it shall have.
[[gnu::constructor]] void check_target() {
  const std::string& path = target_path();
  const auto refuse = [&](const std::string& why) {
    end("GEMMSCOPE_BLAS: " + path + ": " + why +
            "; unset LD_PRELOAD, and then 'gemmscope blas' lists those that are here",
        not_loaded);
  };
  if (path.find('/') == std::string::npos) {
    refuse("this is no path; gemmscope blas-shim --blas NAME prints one");
  }
  if (const std::string problem = gemmscope::problem_of_blas_file(path); !problem.empty()) {
    refuse(problem);
  }
}

const gemmscope::BlasLibrary& target() {
  static const gemmscope::BlasLibrary loaded = [] {
    try {
      return gemmscope::BlasLibrary(target_path());
    } catch (const std::exception& error) {
      end("GEMMSCOPE_BLAS: " + target_path() + " cannot be loaded: " + error.what() + "; unset LD_PRELOAD", not_loaded);
    }
  }();
  return loaded;
}

// How deep the calls of this thread are nested. The library behind must not look for us.
[[gnu::tls_model("initial-exec")]] thread_local int depth = 0;
constexpr int deepest = 8;

class Nested {
 public:
  Nested() {
    if (++depth > deepest) {
      end("GEMMSCOPE_BLAS: " + target_path() + " calls the BLAS that the program has, which is this library again",
          EXIT_FAILURE);
    }
  }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  ~Nested() { --depth; }
};

// One Fortran routine of the library behind.
class Routine {
 public:
  constexpr explicit Routine(const char* name) : name_(name) {}

  // Calls it by `call`, which has a template for either kind of integers. `integers` are all that it is passed.
  template <class Call, class... Integers>
  decltype(auto) operator()(const Call& call, Integers... integers) {
    const Nested nested;
    if (depth == 1) {
      calls_.fetch_add(1, std::memory_order_relaxed);
    }
    if (!looked_.load(std::memory_order_acquire)) {
      // Two threads may both look: they find the same.
      const auto find = [&](bool wide) { return target().find(name_, gemmscope::Interface::fortran, wide).address; };
      narrow_.store(find(false), std::memory_order_relaxed);
      wide_.store(find(true), std::memory_order_relaxed);
      looked_.store(true, std::memory_order_release);
    }
    if (void* narrow = narrow_.load(std::memory_order_relaxed);
        narrow != nullptr && ((integers == static_cast<Int>(integers)) && ...)) {
      return call.template operator()<Int>(narrow, static_cast<Int>(integers)...);
    }
    if (void* wide = wide_.load(std::memory_order_relaxed); wide != nullptr) {
      return call.template operator()<Long>(wide, static_cast<Long>(integers)...);
    }
    refuse();
  }

  void forget() { calls_.store(0, std::memory_order_relaxed); }

  [[nodiscard]] const char* name() const { return name_; }
  [[nodiscard]] std::uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }

 private:
  [[noreturn]] void refuse() const {
    if (narrow_.load(std::memory_order_relaxed) == nullptr) {
      end(target_path() + " has no " + name_ + ", which this program calls; run it without LD_PRELOAD", EXIT_FAILURE);
    }
    end(std::string(name_) + " was called with an integer of more than 32 bits, and those of " + target_path() +
            " have 32; run this program without LD_PRELOAD, or on a BLAS whose integers have 64",
        EXIT_FAILURE);
  }

  const char* name_;
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<bool> looked_{false};
  std::atomic<void*> narrow_{nullptr};
  std::atomic<void*> wide_{nullptr};
};

constinit Routine sgemm{"sgemm"};
constinit Routine sgemv{"sgemv"};
constinit Routine ssyrk{"ssyrk"};
constinit Routine sdot{"sdot"};
constinit Routine dgemm{"dgemm"};
constinit Routine cgemm{"cgemm"};
constexpr std::array routines = {&sgemm, &sgemv, &ssyrk, &sdot, &dgemm, &cgemm};

// A child counts its own calls, and not its parent's once more.
[[gnu::constructor]] void count_anew_after_forks() {
  pthread_atfork(nullptr, nullptr, [] {
    for (Routine* routine : routines) {
      routine->forget();
    }
  });
}

// For GEMMSCOPE_BLAS_VERBOSE=1: what went through this library, which is also said where nothing did.
[[gnu::destructor]] void report() {
  const char* verbose = std::getenv("GEMMSCOPE_BLAS_VERBOSE");
  if (verbose == nullptr || std::string_view(verbose) != "1") {
    return;
  }
  std::string counted;
  for (const Routine* routine : routines) {
    if (routine->calls() != 0) {
      counted += (counted.empty() ? "" : ", ") + std::to_string(routine->calls()) + " " + routine->name();
    }
  }
  std::fprintf(stderr, "libgemmscope_blas: %s (process %d): %s by %s\n", program_invocation_short_name, getpid(),
               counted.empty() ? "no call" : counted.c_str(), target_path().c_str());
}

// --- Fortran routines. Compilers pass the lengths of strings last, and may use their place on the stack for something
// else (gcc's bug 90329): so they are passed, though no BLAS reads them.
// -----------------------------------------------

using Length = std::size_t;

template <class T>
void gemm(Routine& routine, char transpose_a, char transpose_b, Long m, Long n, Long k, const T* alpha, const T* a,
          Long lda, const T* b, Long ldb, const T* beta, T* c, Long ldc) {
  const auto call = [&]<class I>(void* address, I m, I n, I k, I lda, I ldb, I ldc) {
    using Function = void(const char*, const char*, const I*, const I*, const I*, const T*, const T*, const I*,
                          const T*, const I*, const T*, T*, const I*, Length, Length);
    reinterpret_cast<Function*>(address)(&transpose_a, &transpose_b, &m, &n, &k, alpha, a, &lda, b, &ldb, beta, c, &ldc,
                                         1, 1);
  };
  routine(call, m, n, k, lda, ldb, ldc);
}

void gemv(char transpose, Long m, Long n, const float* alpha, const float* a, Long lda, const float* x, Long step_x,
          const float* beta, float* y, Long step_y) {
  const auto call = [&]<class I>(void* address, I m, I n, I lda, I step_x, I step_y) {
    using Function = void(const char*, const I*, const I*, const float*, const float*, const I*, const float*, const I*,
                          const float*, float*, const I*, Length);
    reinterpret_cast<Function*>(address)(&transpose, &m, &n, alpha, a, &lda, x, &step_x, beta, y, &step_y, 1);
  };
  sgemv(call, m, n, lda, step_x, step_y);
}

void syrk(char triangle, char transpose, Long n, Long k, const float* alpha, const float* a, Long lda,
          const float* beta, float* c, Long ldc) {
  const auto call = [&]<class I>(void* address, I n, I k, I lda, I ldc) {
    using Function = void(const char*, const char*, const I*, const I*, const float*, const float*, const I*,
                          const float*, float*, const I*, Length, Length);
    reinterpret_cast<Function*>(address)(&triangle, &transpose, &n, &k, alpha, a, &lda, beta, c, &ldc, 1, 1);
  };
  ssyrk(call, n, k, lda, ldc);
}

float dot(Long n, const float* x, Long step_x, const float* y, Long step_y) {
  const auto call = [&]<class I>(void* address, I n, I step_x, I step_y) {
    using Function = float(const I*, const float*, const I*, const float*, const I*);
    return reinterpret_cast<Function*>(address)(&n, x, &step_x, y, &step_y);
  };
  return sdot(call, n, step_x, step_y);
}

// --- C's routines by Fortran's. A row-major matrix is the transpose of a column-major one.
// ----------------------------

// The values of the CBLAS standard. What is none of them is passed on, for the library behind to refuse.
constexpr int row_major = 101;
constexpr int column_major = 102;
constexpr int upper = 121;
constexpr int lower = 122;

char letter(int order, int transpose) {
  constexpr std::string_view letters = "NTC";
  const bool known = (order == row_major || order == column_major) && transpose >= 111 && transpose <= 113;
  return known ? letters[transpose - 111] : '?';
}

template <class T>
void cblas_gemm(Routine& routine, int order, int transpose_a, int transpose_b, Long m, Long n, Long k, const T* alpha,
                const T* a, Long lda, const T* b, Long ldb, const T* beta, T* c, Long ldc) {
  if (order == row_major) {
    gemm(routine, letter(order, transpose_b), letter(order, transpose_a), n, m, k, alpha, b, ldb, a, lda, beta, c, ldc);
  } else {
    gemm(routine, letter(order, transpose_a), letter(order, transpose_b), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  }
}

void cblas_gemv(int order, int transpose, Long m, Long n, const float* alpha, const float* a, Long lda, const float* x,
                Long step_x, const float* beta, float* y, Long step_y) {
  const char plain = letter(order, transpose);
  if (order == row_major) {
    gemv(plain == 'N' ? 'T' : plain == '?' ? '?' : 'N', n, m, alpha, a, lda, x, step_x, beta, y, step_y);
  } else {
    gemv(plain, m, n, alpha, a, lda, x, step_x, beta, y, step_y);
  }
}

void cblas_syrk(int order, int triangle, int transpose, Long n, Long k, const float* alpha, const float* a, Long lda,
                const float* beta, float* c, Long ldc) {
  const char plain = letter(order, transpose);
  const bool known = triangle == upper || triangle == lower;
  if (order == row_major) {
    syrk(!known              ? '?'
         : triangle == upper ? 'L'
                             : 'U',
         plain == 'N'   ? 'T'
         : plain == '?' ? '?'
                        : 'N',
         n, k, alpha, a, lda, beta, c, ldc);
  } else {
    syrk(!known ? '?' : triangle == upper ? 'U' : 'L', plain, n, k, alpha, a, lda, beta, c, ldc);
  }
}

}  // namespace

#define GEMMSCOPE_EXPORT extern "C" [[gnu::visibility("default")]]

// --- For gemmscope: the library behind, which is loaded if it is not yet, and how many calls it was given
// --------------

GEMMSCOPE_EXPORT const char* gemmscope_blas_image() {
  target();
  return target_path().c_str();
}

GEMMSCOPE_EXPORT std::uint64_t gemmscope_blas_calls() {
  std::uint64_t calls = 0;
  for (const Routine* routine : routines) {
    calls += routine->calls();
  }
  return calls;
}

// --- C: 32-bit integers; 64-bit integers by the names of NumPy's wheels since 2.0, of those before, and of MKL
// --------

#define GEMMSCOPE_CBLAS(Integer, sgemm_name, sgemv_name, ssyrk_name, sdot_name)                                       \
  GEMMSCOPE_EXPORT void sgemm_name(int order, int transpose_a, int transpose_b, Integer m, Integer n, Integer k,      \
                                   float alpha, const float* a, Integer lda, const float* b, Integer ldb, float beta, \
                                   float* c, Integer ldc) {                                                           \
    cblas_gemm(sgemm, order, transpose_a, transpose_b, m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc);               \
  }                                                                                                                   \
  GEMMSCOPE_EXPORT void sgemv_name(int order, int transpose, Integer m, Integer n, float alpha, const float* a,       \
                                   Integer lda, const float* x, Integer step_x, float beta, float* y,                 \
                                   Integer step_y) {                                                                  \
    cblas_gemv(order, transpose, m, n, &alpha, a, lda, x, step_x, &beta, y, step_y);                                  \
  }                                                                                                                   \
  GEMMSCOPE_EXPORT void ssyrk_name(int order, int triangle, int transpose, Integer n, Integer k, float alpha,         \
                                   const float* a, Integer lda, float beta, float* c, Integer ldc) {                  \
    cblas_syrk(order, triangle, transpose, n, k, &alpha, a, lda, &beta, c, ldc);                                      \
  }                                                                                                                   \
  GEMMSCOPE_EXPORT float sdot_name(Integer n, const float* x, Integer step_x, const float* y, Integer step_y) {       \
    return dot(n, x, step_x, y, step_y);                                                                              \
  }

GEMMSCOPE_CBLAS(Int, cblas_sgemm, cblas_sgemv, cblas_ssyrk, cblas_sdot)
GEMMSCOPE_CBLAS(Long, scipy_cblas_sgemm64_, scipy_cblas_sgemv64_, scipy_cblas_ssyrk64_, scipy_cblas_sdot64_)
GEMMSCOPE_CBLAS(Long, cblas_sgemm64_, cblas_sgemv64_, cblas_ssyrk64_, cblas_sdot64_)
GEMMSCOPE_CBLAS(Long, cblas_sgemm_64, cblas_sgemv_64, cblas_ssyrk_64, cblas_sdot_64)

GEMMSCOPE_EXPORT void cblas_dgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k, double alpha,
                                  const double* a, Int lda, const double* b, Int ldb, double beta, double* c, Int ldc) {
  cblas_gemm(dgemm, order, transpose_a, transpose_b, m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc);
}

GEMMSCOPE_EXPORT void cblas_cgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k, const void* alpha,
                                  const void* a, Int lda, const void* b, Int ldb, const void* beta, void* c, Int ldc) {
  using Complex = std::complex<float>;
  cblas_gemm(cgemm, order, transpose_a, transpose_b, m, n, k, static_cast<const Complex*>(alpha),
             static_cast<const Complex*>(a), lda, static_cast<const Complex*>(b), ldb,
             static_cast<const Complex*>(beta), static_cast<Complex*>(c), ldc);
}

// --- Fortran, 32-bit integers: by the names of most libraries, and of the OpenBLAS in SciPy's wheels
// ------------------

#define GEMMSCOPE_FORTRAN(sgemm_name, sgemv_name, ssyrk_name, sdot_name)                                             \
  GEMMSCOPE_EXPORT void sgemm_name(const char* transpose_a, const char* transpose_b, const Int* m, const Int* n,     \
                                   const Int* k, const float* alpha, const float* a, const Int* lda, const float* b, \
                                   const Int* ldb, const float* beta, float* c, const Int* ldc) {                    \
    gemm(sgemm, *transpose_a, *transpose_b, *m, *n, *k, alpha, a, *lda, b, *ldb, beta, c, *ldc);                     \
  }                                                                                                                  \
  GEMMSCOPE_EXPORT void sgemv_name(const char* transpose, const Int* m, const Int* n, const float* alpha,            \
                                   const float* a, const Int* lda, const float* x, const Int* step_x,                \
                                   const float* beta, float* y, const Int* step_y) {                                 \
    gemv(*transpose, *m, *n, alpha, a, *lda, x, *step_x, beta, y, *step_y);                                          \
  }                                                                                                                  \
  GEMMSCOPE_EXPORT void ssyrk_name(const char* triangle, const char* transpose, const Int* n, const Int* k,          \
                                   const float* alpha, const float* a, const Int* lda, const float* beta, float* c,  \
                                   const Int* ldc) {                                                                 \
    syrk(*triangle, *transpose, *n, *k, alpha, a, *lda, beta, c, *ldc);                                              \
  }                                                                                                                  \
  GEMMSCOPE_EXPORT float sdot_name(const Int* n, const float* x, const Int* step_x, const float* y,                  \
                                   const Int* step_y) {                                                              \
    return dot(*n, x, *step_x, y, *step_y);                                                                          \
  }

GEMMSCOPE_FORTRAN(sgemm_, sgemv_, ssyrk_, sdot_)
GEMMSCOPE_FORTRAN(scipy_sgemm_, scipy_sgemv_, scipy_ssyrk_, scipy_sdot_)
