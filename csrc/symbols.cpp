#include "symbols.h"

#include <dlfcn.h>

#include <array>

namespace gemmscope {
namespace {

// Holds an image that is loaded already; the count that dlopen adds goes with it.
class LoadedImage {
 public:
  explicit LoadedImage(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD)) {}
  LoadedImage(const LoadedImage&) = delete;
  LoadedImage& operator=(const LoadedImage&) = delete;
  ~LoadedImage() {
    if (handle_ != nullptr) {
      dlclose(handle_);
    }
  }

  [[nodiscard]] void* find(const char* name) const { return handle_ == nullptr ? nullptr : dlsym(handle_, name); }

 private:
  void* handle_;
};

}  // namespace

std::optional<Symbol> find_symbol(const std::string& image, const std::string& name, Scope scope) {
  void* address = scope == Scope::global_first ? dlsym(RTLD_DEFAULT, name.c_str()) : nullptr;
  if (address == nullptr && !image.empty()) {
    address = LoadedImage(image).find(name.c_str());
  }
  if (address == nullptr) {
    return std::nullopt;
  }
  return Symbol{address, image_of(address)};
}

std::string image_of(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

std::string description_of(const std::string& image) {
  if (image.empty()) {
    return "";
  }
  const LoadedImage loaded(image);
  // A name may come from what the image depends on, which is not asked here.
  const auto own = [&](const char* name) {
    void* found = loaded.find(name);
    return found != nullptr && image_of(found) == image ? found : nullptr;
  };
  for (const char* name : {"scipy_openblas_get_config64_", "scipy_openblas_get_config", "openblas_get_config64_",
                           "openblas_get_config", "bli_info_get_version_str"}) {
    if (void* found = own(name); found != nullptr) {
      return reinterpret_cast<const char* (*)()>(found)();
    }
  }
  // The same in all of MKL's interfaces; torch exports it from its own library.
  if (void* found = own("MKL_Get_Version_String"); found != nullptr) {
    std::array<char, 256> text{};
    reinterpret_cast<void (*)(char*, int)>(found)(text.data(), static_cast<int>(text.size()) - 1);
    std::string version(text.data());
    version.erase(version.find_last_not_of(' ') + 1);
    return version;
  }
  return "";
}

}  // namespace gemmscope
