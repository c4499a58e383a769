// What the processor can do at most: multiply-adds from registers, and a stream from memory.
#pragma once

#include <cstddef>
#include <string>

namespace gemmscope {

// The instructions that peak_flops uses here: "AVX-512", "AVX2", "NEON", "SME" for the outer products of a matrix unit,
// or "none" where none of them is there and the compiler's own choice is used.
std::string vector_instructions();

// Float32 operations per second, by `threads` threads that do nothing but fused multiply-adds on registers, each of
// which counts as two: the best of several rounds of some milliseconds. Throws std::invalid_argument without a thread,
// and std::runtime_error if the system does not start so many.
double peak_flops(std::size_t threads);

// The same by AMX's outer products, which peak_flops never uses: undocumented instructions are for those who ask for
// them. A processor without AMX ends the process. Throws std::runtime_error in a build for another system, too.
double amx_peak_flops(std::size_t threads);

// Bytes per second of a[i] = b[i] + s c[i], counted as in STREAM (McCalpin 1995): two reads and a write of float32, and
// not the read that a cache may do before the write. The three arrays together take `bytes`, which should be several
// times the last cache; the best of several rounds. Throws std::invalid_argument without a thread or an element each,
// and std::runtime_error if the system does not start so many threads.
double triad_bandwidth(std::size_t threads, std::size_t bytes);

}  // namespace gemmscope
