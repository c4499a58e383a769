#include "addresses.h"

#include <dlfcn.h>

#include <algorithm>

#if defined(__APPLE__)
#include <mach/mach_init.h>
#include <mach/vm_map.h>
#else
#include <fcntl.h>
#include <unistd.h>

#include <array>
#endif

namespace gemmscope {
namespace {

// The smallest page of any system here. A piece that does not cross a page is there whole, or not at all.
constexpr std::uint64_t smallest_page = 4096;

#if defined(__APPLE__)
class Reader {
 public:
  bool read(std::uint64_t address, std::byte* to, std::size_t size) const {
    vm_size_t got = 0;
    return vm_read_overwrite(mach_task_self(), static_cast<vm_address_t>(address), size,
                             reinterpret_cast<vm_address_t>(to), &got) == KERN_SUCCESS &&
           got == size;
  }
};
#else
// A pipe: what is written into it is read by the kernel, which answers EFAULT where a thread would be ended. Unlike
// process_vm_readv, which containers forbid, nothing forbids it; and unlike /proc/self/mem it keeps to the pages'
// protection. An empty pipe takes a page at least.
class Reader {
 public:
  Reader() {
    if (pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
      ends_ = {-1, -1};
    }
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    for (const int end : ends_) {
      if (end >= 0) {
        close(end);
      }
    }
  }

  bool read(std::uint64_t address, std::byte* to, std::size_t size) const {
    const auto wanted = static_cast<ssize_t>(size);
    return write(ends_[1], reinterpret_cast<const void*>(address), size) == wanted &&
           ::read(ends_[0], to, size) == wanted;
  }

 private:
  std::array<int, 2> ends_{};
};
#endif

}  // namespace

std::vector<std::byte> read_memory(std::uint64_t address, std::size_t size) {
  std::vector<std::byte> bytes(size);
  const Reader reader;
  std::size_t done = 0;
  while (done < size) {
    const std::uint64_t from = address + done;
    const auto piece =
        static_cast<std::size_t>(std::min<std::uint64_t>(size - done, smallest_page - from % smallest_page));
    if (from < address || !reader.read(from, bytes.data() + done, piece)) {
      break;
    }
    done += piece;
  }
  bytes.resize(done);
  return bytes;
}

std::optional<Location> locate(std::uint64_t address) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(address), &info) == 0 || info.dli_fname == nullptr) {
    return std::nullopt;
  }
  return Location{.image = info.dli_fname,
                  .symbol = info.dli_sname == nullptr ? "" : info.dli_sname,
                  .offset = address - reinterpret_cast<std::uint64_t>(info.dli_fbase)};
}

}  // namespace gemmscope
