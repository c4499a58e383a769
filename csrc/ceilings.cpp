#include "ceilings.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "amx.h"
#include "sme.h"

namespace gemmscope {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds = 7;
constexpr std::size_t steps = 1 << 18;  // some milliseconds

// Keeps what was computed from being removed. All threads write to it. Volatile: clang removes stores to what nobody
// reads, atomic or not, and the loop before them.
volatile std::atomic<float> sink;

// One value, or one multiply-add, in each chain, written out: in a loop over an array the compiler would keep the sums
// in memory. Chains that began alike would be one.
template <class Vector, std::size_t... Chain>
[[gnu::always_inline]] inline void begin_all(Vector* sums, const Vector& term,
                                             std::index_sequence<Chain...> /*chains*/) {
  ((sums[Chain] = term + static_cast<float>(Chain)), ...);
}

// One multiply-add in the form that overwrites the sum in one instruction: x86 has sum * factor + term. Arm's FMLA adds
// a product to its destination only, so that the other form would copy the term each time, and measure the copies.
template <class Vector>
[[gnu::always_inline]] inline void step(Vector& sum, const Vector& factor, const Vector& term) {
#if defined(__aarch64__)
  sum = Vector(vfmaq_f32(float32x4_t(sum), float32x4_t(factor), float32x4_t(term)));
#else
  sum = sum * factor + term;
#endif
}

template <class Vector, std::size_t... Chain>
[[gnu::always_inline]] inline void step_all(Vector* sums, const Vector& factor, const Vector& term,
                                            std::index_sequence<Chain...> /*chains*/) {
  (step(sums[Chain], factor, term), ...);
}

template <class Vector, std::size_t... Chain>
[[gnu::always_inline]] inline void add_all(Vector& total, const Vector* sums,
                                           std::index_sequence<Chain...> /*chains*/) {
  ((total += sums[Chain]), ...);
}

// `Chains` chains of multiply-adds that do not wait for each other: more than latency times units of any core (4 cycles
// by 4 units on Apple's), and few enough for the registers: of AVX-512's 32, clang spills some where 24 chains would
// fit. ci/arm64/mix.py counts what a step is on Arm.
template <std::size_t Bytes, std::size_t Chains>
[[gnu::always_inline]] inline std::size_t multiply_add(std::size_t count) {
  typedef float Vector __attribute__((vector_size(Bytes)));
  constexpr auto chains = std::make_index_sequence<Chains>{};
  volatile float unknown = 0.5F;  // so that the compiler cannot compute the end beforehand
  const float value = unknown;
  const Vector factor = Vector{} + value;
  const Vector term = factor;
  Vector sums[Chains];
  begin_all(sums, term, chains);
  for (std::size_t i = 0; i < count; ++i) {
    step_all(sums, factor, term, chains);
  }
  Vector total = term;
  add_all(total, sums, chains);
  float one = 0.0F;
  std::memcpy(&one, &total, sizeof one);
  sink.store(one, std::memory_order_relaxed);
  return count * Chains * (Bytes / sizeof(float)) * 2;
}

using MultiplyAdd = std::size_t (*)(std::size_t);

#if defined(__x86_64__)
[[gnu::target("avx512f")]] std::size_t by_avx512(std::size_t count) { return multiply_add<64, 12>(count); }
[[gnu::target("avx2,fma")]] std::size_t by_avx2(std::size_t count) { return multiply_add<32, 12>(count); }
#endif
// On arm64 these are NEON's registers.
std::size_t by_default(std::size_t count) { return multiply_add<16, 24>(count); }

struct Instructions {
  const char* name;
  MultiplyAdd multiply_add;
};

Instructions instructions() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    return {"AVX-512", by_avx512};
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {"AVX2", by_avx2};
  }
  return {"none", by_default};
#elif defined(__aarch64__)
  if (sme_works()) {
    return {"SME", sme_outer_products};
  }
  return {"NEON", by_default};
#else
  return {"none", by_default};
#endif
}

// Calls work(thread) in all threads at once, several times; returns the seconds of the quickest round, from the first
// thread's start to the last one's end.
template <class Work>
double quickest(std::size_t threads, const Work& work) {
  if (threads == 0) {
    throw std::invalid_argument("threads: expected at least one, got none");
  }
  double best = 0.0;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<std::size_t> waiting{threads};
    std::atomic<bool> given_up{false};
    std::vector<Clock::time_point> starts(threads);
    std::vector<Clock::time_point> ends(threads);
    const auto run = [&](std::size_t thread) {
      waiting.fetch_sub(1);
      while (waiting.load() != 0) {
        if (given_up.load()) {
          return;
        }
        std::this_thread::yield();  // there may be more threads than cores
      }
      starts[thread] = Clock::now();
      work(thread);
      ends[thread] = Clock::now();
    };
    {
      std::vector<std::thread> others;
      others.reserve(threads - 1);
      const auto join = [&others] { std::ranges::for_each(others, &std::thread::join); };
      try {
        for (std::size_t thread = 1; thread < threads; ++thread) {
          others.emplace_back(run, thread);
        }
      } catch (const std::exception& error) {
        given_up = true;
        join();
        throw std::runtime_error("the system started " + std::to_string(others.size() + 1) + " of " +
                                 std::to_string(threads) + " threads: " + error.what());
      }
      run(0);
      join();
    }
    const std::chrono::duration<double> seconds =
        *std::max_element(ends.begin(), ends.end()) - *std::min_element(starts.begin(), starts.end());
    best = round == 0 ? seconds.count() : std::min(best, seconds.count());
  }
  return best;
}

double peak_of(MultiplyAdd work, std::size_t threads) {
  const std::size_t operations = work(1);
  const double seconds = quickest(threads, [work](std::size_t) { work(steps); });
  return static_cast<double>(operations) * static_cast<double>(steps) * static_cast<double>(threads) / seconds;
}

}  // namespace

std::string vector_instructions() { return instructions().name; }

double peak_flops(std::size_t threads) { return peak_of(instructions().multiply_add, threads); }

double amx_peak_flops(std::size_t threads) { return peak_of(amx_outer_products, threads); }

double triad_bandwidth(std::size_t threads, std::size_t bytes) {
  const std::size_t count = bytes / (3 * sizeof(float));
  if (threads == 0 || count < threads) {
    throw std::invalid_argument("threads, bytes: expected at least one thread, and an element for each");
  }
  // Not filled here: each thread touches its own share first, which is what places it near that thread's core.
  const auto a = std::make_unique_for_overwrite<float[]>(count);
  const auto b = std::make_unique_for_overwrite<float[]>(count);
  const auto c = std::make_unique_for_overwrite<float[]>(count);
  std::vector<char> touched(threads, 0);
  const double seconds = quickest(threads, [&](std::size_t thread) {
    const std::size_t begin = count * thread / threads;
    const std::size_t end = count * (thread + 1) / threads;
    if (touched[thread] == 0) {
      touched[thread] = 1;
      std::fill(b.get() + begin, b.get() + end, 1.0F);
      std::fill(c.get() + begin, c.get() + end, 2.0F);
    }
    for (std::size_t i = begin; i < end; ++i) {
      a[i] = b[i] + 3.0F * c[i];
    }
  });
  sink.store(a[count / 2], std::memory_order_relaxed);
  return static_cast<double>(3 * sizeof(float) * count) / seconds;
}

}  // namespace gemmscope
