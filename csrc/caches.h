// Putting memory out of the processor's caches, so that a call starts cold.
#pragma once

#include <cstddef>

namespace gemmscope {

// True if memory can be put out of the caches here, by an instruction that needs no privilege.
bool can_evict() noexcept;

// Writes back and drops every cache line of the stretch, from all levels. Without can_evict it does nothing.
void evict(const void* begin, std::size_t bytes) noexcept;

}  // namespace gemmscope
