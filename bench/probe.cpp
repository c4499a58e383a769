// A cblas_sgemm for LD_PRELOAD that passes every call on to the one that MLX would have called, and
// stamps it. It is the second clock that gemmscope's parts are checked against, and it can be asked to waste time, so
// that a delay can be planted in a real call.
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
std::atomic<std::int64_t> delay{0};

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

Clock::time_point wait_from(Clock::time_point now) {
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
  const auto end = wait_from(Clock::now());
  nanoseconds.fetch_add((end - start) / std::chrono::nanoseconds(1), std::memory_order_relaxed);
  calls.fetch_add(1, std::memory_order_relaxed);
}

// The nanoseconds that all kernels together have taken, and how many there were, since the process began.
[[gnu::visibility("default")]] std::int64_t gemmscope_probe_nanoseconds() { return nanoseconds.load(); }
[[gnu::visibility("default")]] std::int64_t gemmscope_probe_calls() { return calls.load(); }

// From now on every call lasts so many nanoseconds longer.
[[gnu::visibility("default")]] void gemmscope_probe_delay(std::int64_t wanted) { delay.store(wanted); }
}
