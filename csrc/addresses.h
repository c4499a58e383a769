// What lies at an address of this process, asked so that a wrong address is an answer and not a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gemmscope {

// Up to `size` bytes at an address; fewer, or none, where memory ends that this process may read.
std::vector<std::byte> read_memory(std::uint64_t address, std::size_t size);

struct Location {
  std::string image;         // the file that holds the address, as the loader names it
  std::string symbol;        // the exported function around it; empty where the loader knows none
  std::uint64_t offset = 0;  // from where the image begins, the same in each process
};

// Which loaded image holds an address; none where it is no image's, such as code generated at run time. On macOS the
// symbol is the exported one before the address, which may be another function's.
std::optional<Location> locate(std::uint64_t address);

}  // namespace gemmscope
