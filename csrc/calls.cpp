#include "calls.h"

#include <atomic>

#if defined(__linux__)
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <span>
#include <string_view>
#endif

namespace gemmscope {
namespace {

std::atomic<std::uint64_t> calls{0};

// Stands in for a function of any signature: in the calling conventions of Linux the caller cleans up.
void counted() { calls.fetch_add(1, std::memory_order_relaxed); }

#if defined(__linux__)

#if defined(__x86_64__)
constexpr bool is_address_of_symbol(std::uint64_t type) {
  return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT || type == R_X86_64_64;
}
#elif defined(__aarch64__)
constexpr bool is_address_of_symbol(std::uint64_t type) {
  return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT || type == R_AARCH64_ABS64;
}
#else
constexpr bool is_address_of_symbol(std::uint64_t) { return false; }
#endif

// What elf(5) calls the dynamic section of a library, as far as it is needed to find where its imports are written.
class Imports {
 public:
  explicit Imports(const link_map& map) : base_(map.l_addr) {
    std::size_t plt_bytes = 0;
    std::size_t rela_bytes = 0;
    for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
      switch (entry->d_tag) {
        case DT_STRTAB:
          strings_ = at<const char>(entry->d_un.d_ptr);
          break;
        case DT_SYMTAB:
          symbols_ = at<const ElfW(Sym)>(entry->d_un.d_ptr);
          break;
        case DT_JMPREL:
          plt_ = at<const ElfW(Rela)>(entry->d_un.d_ptr);
          break;
        case DT_PLTRELSZ:
          plt_bytes = entry->d_un.d_val;
          break;
        case DT_RELA:
          rela_ = at<const ElfW(Rela)>(entry->d_un.d_ptr);
          break;
        case DT_RELASZ:
          rela_bytes = entry->d_un.d_val;
          break;
        default:
          break;
      }
    }
    plt_count_ = plt_ == nullptr ? 0 : plt_bytes / sizeof(ElfW(Rela));
    rela_count_ = rela_ == nullptr ? 0 : rela_bytes / sizeof(ElfW(Rela));
  }

  // The places that hold the address of a function.
  [[nodiscard]] std::vector<void**> of(std::string_view symbol) const {
    std::vector<void**> places;
    for (const auto table : {std::span(plt_, plt_count_), std::span(rela_, rela_count_)}) {
      for (const ElfW(Rela) & entry : table) {
        if (is_address_of_symbol(ELF64_R_TYPE(entry.r_info)) && entry.r_addend == 0 &&
            symbol == strings_ + symbols_[ELF64_R_SYM(entry.r_info)].st_name) {
          places.push_back(reinterpret_cast<void**>(base_ + entry.r_offset));
        }
      }
    }
    return places;
  }

 private:
  // glibc has added the base to these addresses, musl has not.
  template <class T>
  [[nodiscard]] T* at(ElfW(Addr) address) const {
    return reinterpret_cast<T*>(address < base_ ? base_ + address : address);
  }

  ElfW(Addr) base_;
  const char* strings_ = nullptr;
  const ElfW(Sym) * symbols_ = nullptr;
  const ElfW(Rela) * plt_ = nullptr;
  const ElfW(Rela) * rela_ = nullptr;
  std::size_t plt_count_ = 0;
  std::size_t rela_count_ = 0;
};

// What the loader has made read-only once it had filled it in (PT_GNU_RELRO): the whole pages in it.
struct ReadOnly {
  ElfW(Addr) base;
  ElfW(Addr) begin = 0;
  ElfW(Addr) end = 0;
};

int find_read_only(dl_phdr_info* info, std::size_t, void* data) {
  auto& found = *static_cast<ReadOnly*>(data);
  if (info->dlpi_addr != found.base) {
    return 0;
  }
  const auto page = static_cast<ElfW(Addr)>(sysconf(_SC_PAGESIZE));
  for (const ElfW(Phdr) & header : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (header.p_type == PT_GNU_RELRO) {
      found.begin = (info->dlpi_addr + header.p_vaddr) / page * page;
      found.end = (info->dlpi_addr + header.p_vaddr + header.p_memsz) / page * page;
    }
  }
  return 1;
}

bool protect(void** place, int protection) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(place) / page * page;
  return mprotect(reinterpret_cast<void*>(begin), page, protection) == 0;
}

// False where the page must not be written.
bool write(void** place, void* value, bool read_only) {
  if (read_only && !protect(place, PROT_READ | PROT_WRITE)) {
    return false;
  }
  __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
  if (read_only) {
    protect(place, PROT_READ);
  }
  return true;
}

#endif

}  // namespace

#if defined(__linux__)

CallCounter::CallCounter(const std::string& image, const std::string& symbol) {
  calls = 0;
  void* handle = image.empty() ? nullptr : dlopen(image.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) {
    return;
  }
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr) {
    ReadOnly fixed{.base = map->l_addr};
    dl_iterate_phdr(find_read_only, &fixed);
    const auto places = Imports(*map).of(symbol);
    slots_.reserve(places.size());
    for (void** place : places) {
      const auto address = reinterpret_cast<ElfW(Addr)>(place);
      const bool read_only = fixed.begin <= address && address < fixed.end;
      void* before = __atomic_load_n(place, __ATOMIC_SEQ_CST);
      if (write(place, reinterpret_cast<void*>(&counted), read_only)) {
        slots_.push_back({place, before, read_only});
      }
    }
  }
  dlclose(handle);  // it stays loaded: who calls it holds it
}

CallCounter::~CallCounter() {
  for (const Slot& slot : slots_) {
    write(slot.place, slot.before, slot.read_only);
  }
}

#else

CallCounter::CallCounter(const std::string&, const std::string&) { static_cast<void>(&counted); }
CallCounter::~CallCounter() = default;

#endif

std::uint64_t CallCounter::count() const { return calls; }

}  // namespace gemmscope
