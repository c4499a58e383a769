// A BLAS in a file of its own: whether a file can be one, and what it is once it is loaded.
#pragma once

#include <string>

namespace gemmscope {

// Why a file cannot be a BLAS in this process, in words; empty if nothing speaks against it. Read
// are its headers and the names that it exports (elf(5)); nothing of it is executed, so this takes a millisecond. On
// macOS, where a library need not be a file at all, loading it tells.
std::string problem_of_blas_file(const std::string& path);

// How a routine is called: by C's interface or by Fortran's, with integers of 32 bits (LP64) or 64 (ILP64).
enum class Interface { cblas, fortran };

struct BlasRoutine {
  void* address = nullptr;  // null where the library has none
  std::string symbol;
};

// A BLAS that stays loaded until the process ends. Its own calls find its own functions, whatever else is loaded.
class BlasLibrary {
 public:
  // Throws std::runtime_error if it cannot be loaded, in the loader's words.
  explicit BlasLibrary(const std::string& path);

  // A routine such as "sgemm", by whichever of the names that libraries give it.
  [[nodiscard]] BlasRoutine find(const std::string& routine, Interface interface, bool long_integers) const;

 private:
  void* handle_;
  bool plain_names_take_long_;
};

}  // namespace gemmscope
