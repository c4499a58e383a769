// AMX, the matrix unit of Apple's M1 to M3, which Apple does not document: its peak, for those who ask for it.
// Executed in ci/macos's emulator, whose AMX is ours; never run on macOS.
#pragma once

#include <cstddef>

namespace gemmscope {

// So many steps of outer products by this thread; returns the float32 operations, a multiply-add as two. A processor
// without AMX ends the process by SIGILL, so it is to be called in one that may end.
// Throws std::runtime_error in a build for another system.
std::size_t amx_outer_products(std::size_t steps);

}  // namespace gemmscope
