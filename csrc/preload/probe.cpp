// libgemmscope_probe: for LD_PRELOAD, between MLX and its BLAS, and between MLX's callers and its runtime.
//
// Its cblas_sgemm passes every call on to the one that MLX would have called, and stamps it: that is the second clock
// which gemmscope's parts are checked against. Both its functions can be asked to waste time, so that a slow kernel and
// a slow runtime can be planted in a real call.
#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using Int = std::int32_t;
using Sgemm = void(int, int, int, Int, Int, Int, float, const float*, Int, const float*, Int, float, float*, Int);
using Clock = std::chrono::steady_clock;

std::atomic<std::int64_t> nanoseconds{0};
std::atomic<std::int64_t> calls{0};
std::atomic<std::int64_t> kernel_delay{0};
std::atomic<std::int64_t> runtime_delay{0};

// mlx::core::eval(std::vector<mlx::core::array>). A vector by value is passed as the address of one that the caller
// makes and destroys (Itanium C++ ABI, 3.1.2.3), so it can be passed on without knowing what it is.
using Eval = void(void* arrays);
#define GEMMSCOPE_EVAL "_ZN3mlx4core4evalESt6vectorINS0_5arrayESaIS2_EE"

// libmlx looks in itself and in what it depends on after this library; so does this.
void* next_function(const char* name) {
  void* mlx = dlopen("libmlx.so", RTLD_LAZY | RTLD_NOLOAD);
  void* found = mlx == nullptr ? nullptr : dlsym(mlx, name);
  if (found == nullptr) {
    std::fprintf(stderr, "libgemmscope_probe: no libmlx.so with %s is loaded\n", name);
    std::abort();
  }
  return found;
}

Clock::time_point wait_from(Clock::time_point now, const std::atomic<std::int64_t>& delay) {
  const auto until = now + std::chrono::nanoseconds(delay.load(std::memory_order_relaxed));
  while (now < until) {
    now = Clock::now();
  }
  return now;
}

}  // namespace

extern "C" {
[[gnu::visibility("default")]] void cblas_sgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k,
                                                float alpha, const float* a, Int lda, const float* b, Int ldb,
                                                float beta, float* c, Int ldc) {
  static Sgemm* const next = reinterpret_cast<Sgemm*>(next_function("cblas_sgemm"));
  const auto start = Clock::now();
  next(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  const auto end = wait_from(Clock::now(), kernel_delay);
  nanoseconds.fetch_add((end - start) / std::chrono::nanoseconds(1), std::memory_order_relaxed);
  calls.fetch_add(1, std::memory_order_relaxed);
}

[[gnu::visibility("default")]] void gemmscope_probe_eval(void* arrays) __asm__(GEMMSCOPE_EVAL);
void gemmscope_probe_eval(void* arrays) {
  static Eval* const next = reinterpret_cast<Eval*>(next_function(GEMMSCOPE_EVAL));
  if (runtime_delay.load(std::memory_order_relaxed) != 0) {
    wait_from(Clock::now(), runtime_delay);
  }
  next(arrays);
}

// The nanoseconds that all kernels together have taken, and how many there were, since the process began.
[[gnu::visibility("default")]] std::int64_t gemmscope_probe_nanoseconds() { return nanoseconds.load(); }
[[gnu::visibility("default")]] std::int64_t gemmscope_probe_calls() { return calls.load(); }

// From now on every kernel, or every evaluation by MLX, lasts so many nanoseconds longer.
[[gnu::visibility("default")]] void gemmscope_probe_delay_kernel(std::int64_t wanted) { kernel_delay.store(wanted); }
[[gnu::visibility("default")]] void gemmscope_probe_delay_runtime(std::int64_t wanted) { runtime_delay.store(wanted); }
}
