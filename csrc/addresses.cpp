#include "addresses.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#if defined(__APPLE__)
#include <mach/mach_init.h>
#include <mach/vm_map.h>
#else
#include <fcntl.h>
#include <sys/uio.h>
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
// A process may read itself both ways. Containers forbid the first (seccomp), and the second where /proc is not
// mounted.
class Reader {
 public:
  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    if (file_ >= 0) {
      close(file_);
    }
  }

  bool read(std::uint64_t address, std::byte* to, std::size_t size) {
    const iovec local{to, size};
    const iovec remote{reinterpret_cast<void*>(address), size};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size)) {
      return true;
    }
    if (errno == EFAULT) {
      return false;  // the other way would read what no thread can: it takes no notice of a page's protection
    }
    if (file_ < 0) {
      file_ = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    }
    return file_ >= 0 && pread(file_, to, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
  }

 private:
  int file_ = -1;
};
#endif

}  // namespace

std::vector<std::byte> read_memory(std::uint64_t address, std::size_t size) {
  std::vector<std::byte> bytes(size);
  Reader reader;
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
