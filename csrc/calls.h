// Whether one loaded library calls a function of another by its name: counted in the library's own table of addresses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gemmscope {

// While it lives, calls of `symbol` out of `image` are counted and go nowhere: whatever they should compute is not
// computed. Only one may live at a time, and no other thread may be in a call of `image`.
class CallCounter {
 public:
  // Counts nothing where calls do not go through a table that can be changed: outside of Linux, or where the image
  // does not import the name.
  CallCounter(const std::string& image, const std::string& symbol);
  CallCounter(const CallCounter&) = delete;
  CallCounter& operator=(const CallCounter&) = delete;
  ~CallCounter();

  [[nodiscard]] bool counts() const { return !slots_.empty(); }
  [[nodiscard]] std::uint64_t count() const;

 private:
  struct Slot {
    void** place;
    void* before;
    bool read_only;
  };

  std::vector<Slot> slots_;
};

}  // namespace gemmscope
