// Functions that other libraries have brought into this process: found by name, with the image that holds them.
#pragma once

#include <optional>
#include <string>

namespace gemmscope {

struct Symbol {
  void* address = nullptr;
  std::string image;  // the file that holds it, as the loader names it; empty where the loader does not say
};

// Where a name is looked up: in the global scope (the program itself, and what LD_PRELOAD put before everything) and
// then in an image and what it depends on, as the image's own calls are; or not in the global scope.
enum class Scope { global_first, image_alone };

// What `image`, a library that is loaded already, would call by this name. Nothing is loaded. An empty image asks for
// the global scope alone. None if there is no such image or no such name.
std::optional<Symbol> find_symbol(const std::string& image, const std::string& name, Scope scope = Scope::global_first);

// The file that holds an address; empty where the loader does not say.
std::string image_of(const void* address);

// What a BLAS says of itself, its version, options and core: OpenBLAS, MKL and BLIS do. Empty where it says nothing.
std::string description_of(const std::string& image);

}  // namespace gemmscope
