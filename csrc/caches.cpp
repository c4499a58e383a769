#include "caches.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#elif defined(__APPLE__)
#include <libkern/OSCacheControl.h>
#endif

namespace gemmscope {

bool can_evict() noexcept {
#if defined(__x86_64__) || defined(__APPLE__)
  return true;
#else
  return false;  // arm64's "dc civac" is not open to programs on every Linux
#endif
}

void evict([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__x86_64__)
  constexpr std::uintptr_t line = 64;  // of every x86-64 processor so far
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  for (std::uintptr_t address = first & ~(line - 1); address < first + bytes; address += line) {
    _mm_clflush(reinterpret_cast<const void*>(address));
  }
  _mm_mfence();
#elif defined(__APPLE__)
  sys_dcache_flush(const_cast<void*>(begin), bytes);
#endif
}

}  // namespace gemmscope
