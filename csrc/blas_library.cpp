#include "blas_library.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

#ifdef __linux__
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#endif

namespace gemmscope {
namespace {

// What libraries put before and behind a routine's name. Names with a 64 have integers of 64 bits; of the others most
// have 32, and some have 64 (Debian's libopenblas64.so.0).
struct Names {
  const char* prefix;
  const char* suffix;
  bool long_integers;
};
constexpr std::array<Names, 4> fortran_names = {
    {{"", "_", false}, {"scipy_", "_", false}, {"", "_64_", true}, {"scipy_", "_64_", true}}};
// The last two of either kind: Accelerate's since macOS 13.3, and MKL's.
constexpr std::array<Names, 7> cblas_names = {{{"cblas_", "", false},
                                               {"scipy_cblas_", "", false},
                                               {"cblas_", "$NEWLAPACK", false},
                                               {"cblas_", "64_", true},
                                               {"scipy_cblas_", "64_", true},
                                               {"cblas_", "_64", true},
                                               {"cblas_", "$NEWLAPACK$ILP64", true}}};

// Names without a 64 do not tell what their integers are. As libblastrampoline does it: of a count whose lower half is
// 3, and which is negative as a whole, isamax looks at three numbers, or at none.
bool takes_long_integers(void* isamax) {
  if (isamax == nullptr) {
    return false;
  }
  const auto count = static_cast<std::int64_t>(0xffffffff00000003U);
  const std::int64_t step = 1;
  const std::array<float, 3> numbers = {1, 3, 2};
  using Function = std::int32_t(const std::int64_t*, const float*, const std::int64_t*);
  return reinterpret_cast<Function*>(isamax)(&count, numbers.data(), &step) == 0;
}

#ifdef __linux__

#if defined(__x86_64__)
constexpr int this_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr int this_machine = EM_AARCH64;
#else
#error "which processor is this? see e_machine in elf.h"
#endif

const char* machine_name(int machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "64-bit Arm";
    case EM_386:
      return "32-bit x86";
    case EM_ARM:
      return "32-bit Arm";
    case EM_PPC64:
      return "64-bit POWER";
    case EM_RISCV:
      return "RISC-V";
    default:
      return "another processor";
  }
}

// A file's bytes, mapped. What is taken out of them may lie anywhere, also behind their end: then there is none of it.
class Mapped {
 public:
  explicit Mapped(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
      problem_ = errno == ENOENT ? "there is no such file" : std::string("it cannot be read: ") + std::strerror(errno);
      return;
    }
    struct stat status{};
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
      problem_ = "it is no file";
    } else if (status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      void* start = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      if (start == MAP_FAILED) {
        problem_ = std::string("it cannot be read: ") + std::strerror(errno);
      } else {
        start_ = static_cast<const char*>(start);
      }
    }
    close(file);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() {
    if (start_ != nullptr) {
      munmap(const_cast<char*>(start_), size_);
    }
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }

  template <class T>
  [[nodiscard]] std::span<const T> at(std::uint64_t offset, std::uint64_t count) const {
    if (start_ == nullptr || offset > size_ || offset % alignof(T) != 0 || count > (size_ - offset) / sizeof(T)) {
      return {};
    }
    return {reinterpret_cast<const T*>(start_ + offset), static_cast<std::size_t>(count)};
  }

 private:
  const char* start_ = nullptr;
  std::size_t size_ = 0;
  std::string problem_;
};

using Header = ElfW(Ehdr);
using Section = ElfW(Shdr);
using Segment = ElfW(Phdr);
using Dynamic = ElfW(Dyn);
using Symbol = ElfW(Sym);

bool is_sgemm(std::string_view name) {
  for (const auto& [prefix, suffix, _] : fortran_names) {
    if (name == std::string(prefix) + "sgemm" + suffix) {
      return true;
    }
  }
  return false;
}

// Whether all that is to be loaded lies within the file: touching what is not there would end the process.
bool is_whole(const Mapped& file, const Header& header) {
  const auto segments = file.at<Segment>(header.e_phoff, header.e_phnum);
  if (segments.size() != header.e_phnum || file.at<Section>(header.e_shoff, header.e_shnum).size() != header.e_shnum) {
    return false;
  }
  for (const Segment& segment : segments) {
    if (segment.p_type == PT_LOAD && file.at<char>(segment.p_offset, segment.p_filesz).size() != segment.p_filesz) {
      return false;
    }
  }
  return true;
}

// Whether it is a program, which no other can load, though it looks like a library.
bool is_program(const Mapped& file, const Header& header) {
  for (const Segment& segment : file.at<Segment>(header.e_phoff, header.e_phnum)) {
    if (segment.p_type == PT_DYNAMIC) {
      for (const Dynamic& entry : file.at<Dynamic>(segment.p_offset, segment.p_filesz / sizeof(Dynamic))) {
        if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE) != 0) {
          return true;
        }
      }
    }
  }
  return false;
}

// Of the names that a file exports.
struct Exported {
  bool known = false;
  bool sgemm = false;
  bool own = false;  // libgemmscope_blas's
};

Exported exported_by(const Mapped& file, const Header& header) {
  Exported exported;
  const auto sections = file.at<Section>(header.e_shoff, header.e_shnum);
  for (const Section& section : sections) {
    if (section.sh_type != SHT_DYNSYM || section.sh_link >= sections.size()) {
      continue;
    }
    const Section& strings = sections[section.sh_link];
    const auto text = file.at<char>(strings.sh_offset, strings.sh_size);
    for (const Symbol& symbol : file.at<Symbol>(section.sh_offset, section.sh_size / sizeof(Symbol))) {
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= text.size()) {
        continue;
      }
      const char* name = text.data() + symbol.st_name;
      const std::string_view found(name, strnlen(name, text.size() - symbol.st_name));
      exported.known = true;
      exported.sgemm |= is_sgemm(found);
      exported.own |= found == "gemmscope_blas_image";
    }
  }
  return exported;
}

#endif

}  // namespace

#ifdef __linux__
std::string problem_of_blas_file(const std::string& path) {
  const Mapped file(path);
  if (!file.problem().empty()) {
    return file.problem();
  }
  const auto headers = file.at<Header>(0, 1);
  if (headers.empty() || std::memcmp(headers[0].e_ident, ELFMAG, SELFMAG) != 0) {
    return "it is not a shared library";
  }
  const Header& header = headers[0];
  constexpr int this_class = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
  if (header.e_machine != this_machine || header.e_ident[EI_CLASS] != this_class) {
    return std::string("it is for ") + machine_name(header.e_machine) + ", and this process is " +
           machine_name(this_machine);
  }
  if (header.e_type != ET_DYN || is_program(file, header)) {
    return "it is not a shared library";
  }
  if (!is_whole(file, header)) {
    return "it is cut short";
  }
  const Exported exported = exported_by(file, header);
  if (exported.own) {
    return "it is libgemmscope_blas itself, which has no BLAS of its own";
  }
  // A file without a table of its sections is rare, and loading it will tell.
  return exported.known && !exported.sgemm ? "it has no sgemm: it exports neither sgemm_ nor another of its names" : "";
}

#else
std::string problem_of_blas_file(const std::string& /*path*/) { return ""; }
#endif

BlasLibrary::BlasLibrary(const std::string& path) {
  if (path.find("libmkl_rt") != std::string::npos) {
    // MKL's front loads its parts for the whole program to see, LAPACK among them. Programs that look it up by the
    // usual names mean 32-bit integers, whatever MKL was told.
    setenv("MKL_INTERFACE_LAYER", "LP64", 1);
  }
  int mode = RTLD_NOW | RTLD_LOCAL;
#ifdef RTLD_DEEPBIND
  // BLIS and netlib call sgemm_ inside of their cblas_sgemm, and would find another library's. The sanitizers refuse
  // the flag.
  if (dlsym(RTLD_DEFAULT, "__asan_init") == nullptr) {
    mode |= RTLD_DEEPBIND;
  }
#endif
  handle_ = dlopen(path.c_str(), mode);
  if (handle_ == nullptr) {
    throw std::runtime_error(dlerror());
  }
  plain_names_take_long_ = takes_long_integers(dlsym(handle_, "isamax_"));
}

BlasRoutine BlasLibrary::find(const std::string& routine, Interface interface, bool long_integers) const {
  const auto look = [&](const auto& schemes) -> BlasRoutine {
    for (const auto& [prefix, suffix, always_long] : schemes) {
      const bool plain = !always_long && std::string(prefix).find("scipy_") == std::string::npos;
      if ((always_long || (plain && plain_names_take_long_)) == long_integers) {
        const std::string symbol = prefix + routine + suffix;
        if (void* found = dlsym(handle_, symbol.c_str()); found != nullptr) {
          return {found, symbol};
        }
      }
    }
    return {};
  };
  return interface == Interface::cblas ? look(cblas_names) : look(fortran_names);
}

}  // namespace gemmscope
