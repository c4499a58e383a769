// SME, the matrix unit of Apple's M4 and later and of some servers: whether programs can use it, and its peak.
// Executed under qemu (ci/arm64/sme); never run on macOS.
#pragma once

#include <cstddef>

namespace gemmscope {

// Whether the system says that this processor has SME, and one step in a child process came to its end. What nobody has
// run on this machine must not end the process that measures.
bool sme_works();

// So many steps of outer products in all tiles by this thread; returns the float32 operations, a multiply-add as two.
// Not to be called where sme_works() is false.
std::size_t sme_outer_products(std::size_t steps);

}  // namespace gemmscope
