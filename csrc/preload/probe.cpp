// libgemmscope_probe: a cblas_sgemm for LD_PRELOAD that passes every call on to the one that MLX would have called, and
// stamps it. It is the second clock that gemmscope's parts are checked against, and it can be asked to waste time, so
// that a slow kernel can be planted.
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

// libmlx looks in what it depends on, after this library; so does this.
Sgemm* next_sgemm() {
  void* mlx = dlopen("libmlx.so", RTLD_LAZY | RTLD_NOLOAD);
  void* found = mlx == nullptr ? nullptr : dlsym(mlx, "cblas_sgemm");
  if (found == nullptr) {
    std::fputs("libgemmscope_probe: no libmlx.so with a cblas_sgemm is loaded\n", stderr);
    std::abort();
  }
  return reinterpret_cast<Sgemm*>(found);
}

}  // namespace

extern "C" {
[[gnu::visibility("default")]] void cblas_sgemm(int order, int transpose_a, int transpose_b, Int m, Int n, Int k,
                                                float alpha, const float* a, Int lda, const float* b, Int ldb,
                                                float beta, float* c, Int ldc) {
  static Sgemm* const next = next_sgemm();
  const auto start = Clock::now();
  next(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  auto end = Clock::now();
  const auto until = end + std::chrono::nanoseconds(delay.load(std::memory_order_relaxed));
  while (end < until) {
    end = Clock::now();
  }
  nanoseconds.fetch_add((end - start) / std::chrono::nanoseconds(1), std::memory_order_relaxed);
  calls.fetch_add(1, std::memory_order_relaxed);
}

// The nanoseconds that all calls together have taken, and how many there were, since the process began.
[[gnu::visibility("default")]] std::int64_t gemmscope_probe_nanoseconds() { return nanoseconds.load(); }
[[gnu::visibility("default")]] std::int64_t gemmscope_probe_calls() { return calls.load(); }

// From now on every call lasts so many nanoseconds longer.
[[gnu::visibility("default")]] void gemmscope_probe_delay(std::int64_t wanted) { delay.store(wanted); }
}
