// Python arrays as views of float32, without copies, and with errors that name the argument.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "gemm.h"

namespace gemmscope::bindings {

// Throws nanobind::import_error if NumPy's C interface is not the one that this was compiled for. Reading the first
// array does so too; a module that is of no use without NumPy says it when it is imported.
void require_numpy();

// A borrowed two-dimensional float32 array, read in the cheapest way that the object offers:
//   NumPy's own arrays    from the fields of their C struct; the caller keeps the object alive
//   the buffer protocol   NumPy's subclasses, memoryview, MLX arrays; about 40 ns more an array
//   DLPack                PyTorch's tensors and others without a buffer, by nanobind's caster; microseconds
// The last two keep what they were lent, and so the memory, until release() or the end of this object.
class ArrayArgument {
 public:
  // Reads `array`. Throws nanobind::type_error if it is no array of native float32 in the processor's memory or has a
  // mask, and nanobind::value_error if it has not two dimensions, or is read-only where `writable` asks for an output.
  ArrayArgument(nanobind::handle array, const char* name, bool writable);
  ArrayArgument(const ArrayArgument&) = delete;
  ArrayArgument& operator=(const ArrayArgument&) = delete;
  ~ArrayArgument();

  [[nodiscard]] Operand operand() const {
    return {view_.data, view_.rows, view_.columns, view_.row_stride, view_.column_stride};
  }
  [[nodiscard]] Product product() const { return view_; }

  // Whose buffer is held, for the garbage collector; null where there is none.
  [[nodiscard]] PyObject* exporter() const { return buffer_.obj; }

  // For a view that outlives the call that read it. Sees to it that `array`, which this was made from, cannot have its
  // memory freed under the view, as far as its library can be told: DLPack keeps a PyTorch tensor and its storage
  // alive, but not the storage's memory. For the rest there is exchanged(). Throws nanobind::type_error if PyTorch
  // refuses.
  void keep(nanobind::handle array, const char* name);

  // Whether the memory that keep() was told of is not the array's any more. Takes a nanosecond.
  [[nodiscard]] bool exchanged() const { return owner_ != nullptr && *owner_ != owned_; }

  // Gives back what was lent. The views are not to be used any more.
  void release();

 private:
  bool read_numpy(nanobind::handle array, const char* name, bool writable);
  bool read_buffer(nanobind::handle array, const char* name, bool writable);
  void read_tensor(nanobind::handle array, const char* name, bool writable);
  void watch(const void* owner, const void* memory, std::size_t words);

  Py_buffer buffer_{};
  nanobind::ndarray<> tensor_;
  nanobind::ndarray<nanobind::ro> read_only_tensor_;
  nanobind::object kept_;
  // Where the owner of the memory says where it is, and what it said: a field of NumPy's struct, or of PyTorch's.
  const void* const* owner_ = nullptr;
  const void* owned_ = nullptr;
  Product view_;
};

}  // namespace gemmscope::bindings
