#include "array_argument.h"

// NumPy's types, the accessors that read their fields, and import_array's check that they are those of the NumPy that
// runs. The oldest that pyproject.toml allows is 2.0.
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>

namespace nb = nanobind;

namespace gemmscope::bindings {
namespace {

constexpr const char* expected_array = "a 2-D array of float32 in the processor's memory";

[[noreturn]] void wrong_type(const char* name, const std::string& got, const std::string& expected) {
  throw nb::type_error((std::string(name) + ": expected " + expected + ", got " + got).c_str());
}

[[noreturn]] void wrong_value(const char* name, const std::string& got, const std::string& expected) {
  throw nb::value_error((std::string(name) + ": expected " + expected + ", got " + got).c_str());
}

// What a person calls the elements: the array's dtype where it has one, else the buffer's format.
std::string element_name(nb::handle array, const char* format) {
  if (nb::hasattr(array, "dtype")) {
    const nb::object dtype = array.attr("dtype");
    return nb::str(dtype).c_str();
  }
  return "elements of buffer format '" + std::string(format == nullptr ? "B" : format) + "'";
}

void check_rank(const char* name, std::int64_t rank) {
  if (rank != 2) {
    wrong_value(name, std::to_string(rank) + (rank == 1 ? " dimension" : " dimensions"), "2 dimensions");
  }
}

// An error of the object itself, told with the argument's name; a request to stop, or a lack of memory, is passed on.
[[noreturn]] void refused(const char* name, nb::handle array, const char* method, nb::python_error& error) {
  if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) {
    throw error;
  }
  const std::string got = std::string(nb::type_name(array.type()).c_str()) + " whose " + method + "() refuses";
  const nb::str reason(error.value());
  nb::raise_from(error, PyExc_TypeError, "%s: expected %s, got %s: %s", name, expected_array, got.c_str(),
                 reason.c_str());
}

void check_memory(const char* name, const Product& view) {
  if (view.empty()) {
    return;
  }
  if (view.data == nullptr) {
    wrong_value(name, "one without memory", "an array with elements");
  }
  if (reinterpret_cast<std::uintptr_t>(view.data) % alignof(float) != 0) {
    wrong_value(name, "elements between them", "elements aligned to 4 bytes");
  }
}

[[noreturn]] void read_only(const char* name) { wrong_value(name, "a read-only one", "a writable array"); }

// The struct module's formats: an optional sign of the byte order, then the type.
void check_format(nb::handle array, const char* name, const char* format) {
  const std::string_view text = format == nullptr ? "B" : format;
  constexpr std::string_view native = std::endian::native == std::endian::little ? "@=<" : "@=>!";
  constexpr std::string_view foreign = std::endian::native == std::endian::little ? ">!" : "<";
  if (text == "f" || (text.size() == 2 && text[1] == 'f' && native.find(text[0]) != std::string_view::npos)) {
    return;
  }
  if (text.size() == 2 && text[1] == 'f' && foreign.find(text[0]) != std::string_view::npos) {
    wrong_type(name, "float32 in the other byte order (" + element_name(array, format) + ")",
               "float32 in this machine's byte order");
  }
  wrong_type(name, element_name(array, format), "float32");
}

// What import_array checks, in our words: the layout of NumPy's structs and the versions of its C interface.
void check_numpy() {
  if (_import_array() < 0) {
    const nb::python_error reason;
    throw nb::import_error((std::string("NumPy does not fit the one that gemmscope was built for (") +
                            nb::str(reason.value()).c_str() +
                            "): install gemmscope again, so that it is built for this NumPy")
                               .c_str());
  }
}

// Looked up and checked at the first use. Not by the initialisation of a static within the function: an import lets
// other threads run, and one that came here would wait for that initialisation with the GIL, which the import needs.
// Threads that come at once each look, and find the same.
nb::handle numpy_type() {
  static PyObject* ndarray = nullptr;  // guarded by the GIL
  if (ndarray == nullptr) {
    check_numpy();
    ndarray = nb::object(nb::module_::import_("numpy").attr("ndarray")).release().ptr();
  }
  return ndarray;
}

// A masked array's buffer has the elements under the mask too, and nothing that tells them from the others. Its type is
// looked for among the modules that are loaded: where numpy.ma is not, there is no masked array.
void check_mask(nb::handle array, const char* name) {
  const bool subclass =
      PyType_IsSubtype(Py_TYPE(array.ptr()), reinterpret_cast<PyTypeObject*>(numpy_type().ptr())) != 0;
  if (!subclass) {
    return;
  }
  const nb::object masked = nb::module_::import_("sys").attr("modules").attr("get")("numpy.ma");
  if (!masked.is_none() && nb::isinstance(array, masked.attr("MaskedArray"))) {
    wrong_type(name, "a masked array", "an array without a mask, such as its filled(0)");
  }
}

// What the object's __dlpack__ gives. nanobind would call it as well, but hide what it raises and try other ways, by
// which PyTorch lends tensors that require a gradient.
nb::object dlpack_of(nb::handle array, const char* name, bool writable) {
  if (PyCapsule_CheckExact(array.ptr()) != 0) {
    return nb::borrow(array);
  }
  if (!nb::hasattr(array.type(), "__dlpack__")) {
    wrong_type(name, nb::type_name(array.type()).c_str(), expected_array);
  }
  // A capsule of version 1 tells whether it may be written to. The older one is cheaper, and all that some have.
  const auto ask = [&](bool versioned) -> nb::object {
    const nb::object method = array.attr("__dlpack__");
    return versioned ? method(nb::arg("max_version") = nb::make_tuple(1, 0)) : method();
  };
  try {
    try {
      return ask(writable);
    } catch (const nb::python_error& error) {
      if (!error.matches(PyExc_TypeError) && !error.matches(PyExc_BufferError)) {
        throw;
      }
    }
    return ask(!writable);
  } catch (nb::python_error& error) {
    refused(name, array, "__dlpack__", error);
  }
}

}  // namespace

void require_numpy() { numpy_type(); }

ArrayArgument::ArrayArgument(nb::handle array, const char* name, bool writable) {
  if (!read_numpy(array, name, writable) && !read_buffer(array, name, writable)) {
    read_tensor(array, name, writable);
  }
}

ArrayArgument::~ArrayArgument() { release(); }

void ArrayArgument::release() {
  view_ = {};
  PyBuffer_Release(&buffer_);  // nothing, where there is none
  tensor_ = {};
  read_only_tensor_ = {};
  kept_.reset();
  owner_ = nullptr;
}

void ArrayArgument::watch(const void* owner, const void* memory, std::size_t words) {
  const auto* field = static_cast<const void* const*>(owner);
  const auto* const found = memory == nullptr ? field + words : std::find(field, field + words, memory);
  if (found != field + words) {
    owner_ = found;
    owned_ = memory;
  }
}

// PyTorch resizes no storage whose memory it has given to NumPy, and the array that it gives holds the storage itself,
// whatever the tensor is given later.
//
// It still exchanges the memory of a storage that is to be shared with another process (share_memory_(), a queue of
// torch.multiprocessing): its StorageImpl stays, and so does the place in it where the pointer is. That has no accessor
// in C, so it is looked for among the first words, by its value.
void ArrayArgument::keep(nb::handle array, const char* name) {
  if (array.type().is(numpy_type())) {
    // NumPy resizes no array that is weakly referenced, with resize(refcheck=False) neither.
    kept_ = nb::steal(PyWeakref_NewRef(array.ptr(), nullptr));
    return;
  }
  if (!nb::hasattr(array, "untyped_storage")) {
    return;
  }
  try {
    kept_ = array.attr("numpy")();
    const nb::object storage = array.attr("untyped_storage")();
    constexpr std::size_t first_words = 6;  // a vtable, counts, and the pointer: StorageImpl is longer
    watch(reinterpret_cast<const void*>(nb::cast<std::uintptr_t>(storage.attr("_cdata"))),
          reinterpret_cast<const void*>(nb::cast<std::uintptr_t>(storage.attr("data_ptr")())), first_words);
  } catch (nb::python_error& error) {
    refused(name, array, "numpy", error);
  }
  // What DLPack lent is not needed beside it, and the collector could not look through it.
  tensor_ = {};
  read_only_tensor_ = {};
}

// Takes only what is right in every respect; all else falls through to the buffer protocol, which knows the words for
// what is wrong with it.
bool ArrayArgument::read_numpy(nb::handle array, const char* name, bool writable) {
  if (!array.type().is(numpy_type())) {
    return false;
  }
  const auto* numpy = reinterpret_cast<const PyArrayObject*>(array.ptr());
  const PyArray_Descr* dtype = PyArray_DESCR(numpy);
  constexpr int aligned = NPY_ARRAY_ALIGNED;
  const int needed = writable ? aligned | NPY_ARRAY_WRITEABLE : aligned;
  const bool native_order = dtype->byteorder == NPY_NATIVE || dtype->byteorder == NPY_NATBYTE;
  if (dtype->type_num != NPY_FLOAT || !native_order || (PyArray_FLAGS(numpy) & needed) != needed) {
    return false;
  }
  check_rank(name, PyArray_NDIM(numpy));
  constexpr npy_intp size = sizeof(float);
  const npy_intp* shape = PyArray_DIMS(numpy);
  const npy_intp* strides = PyArray_STRIDES(numpy);
  view_ = {static_cast<float*>(PyArray_DATA(const_cast<PyArrayObject*>(numpy))), shape[0], shape[1], strides[0] / size,
           strides[1] / size};
  return strides[0] % size == 0 && strides[1] % size == 0;
}

bool ArrayArgument::read_buffer(nb::handle array, const char* name, bool writable) {
  if (PyObject_CheckBuffer(array.ptr()) == 0) {
    return false;
  }
  check_mask(array, name);
  // Format and strides, but not PyBUF_WRITABLE: a read-only output is answered in our words, by the flag below.
  if (PyObject_GetBuffer(array.ptr(), &buffer_, PyBUF_RECORDS_RO) != 0) {
    // The exporter refuses: a dtype without a buffer format, say, or a layout without strides. DLPack may still do.
    if (PyErr_ExceptionMatches(PyExc_BufferError) == 0 && PyErr_ExceptionMatches(PyExc_ValueError) == 0 &&
        PyErr_ExceptionMatches(PyExc_TypeError) == 0) {
      nb::raise_python_error();
    }
    PyErr_Clear();
    return false;
  }
  // The destructor does not run if this constructor throws, so the buffer is given back here.
  try {
    check_format(array, name, buffer_.format);
    check_rank(name, buffer_.ndim);
    if (writable && buffer_.readonly != 0) {
      read_only(name);
    }
    if (buffer_.suboffsets != nullptr) {
      wrong_value(name, "one of pointers to rows", "a single block of memory");
    }
    constexpr Py_ssize_t size = sizeof(float);
    // An exporter may leave strides out where the elements adjoin in C order, whatever was asked for: ctypes does.
    const Py_ssize_t adjoining[2] = {buffer_.shape[1] * size, size};
    const Py_ssize_t* strides = buffer_.strides != nullptr ? buffer_.strides : adjoining;
    if (strides[0] % size != 0 || strides[1] % size != 0) {
      wrong_value(name, "elements between them", "elements aligned to 4 bytes");
    }
    view_ = {static_cast<float*>(buffer_.buf), buffer_.shape[0], buffer_.shape[1], strides[0] / size,
             strides[1] / size};
    check_memory(name, view_);
  } catch (...) {
    PyBuffer_Release(&buffer_);
    throw;
  }
  return true;
}

void ArrayArgument::read_tensor(nb::handle array, const char* name, bool writable) {
  // PyTorch keeps a minus sign in a bit of the tensor, and DLPack hands out the memory without it.
  if (nb::hasattr(array, "is_neg") && nb::cast<bool>(array.attr("is_neg")())) {
    wrong_value(name, "one whose minus sign is not in its memory", "a tensor after resolve_neg()");
  }
  const auto read = [&](const auto& tensor) {
    if (tensor.device_type() != nb::device::cpu::value) {
      wrong_type(name, "one on another device", expected_array);
    }
    if (tensor.dtype() != nb::dtype<float>()) {
      wrong_type(name, element_name(array, nullptr), "float32");
    }
    check_rank(name, static_cast<std::int64_t>(tensor.ndim()));
    view_ = {const_cast<float*>(static_cast<const float*>(tensor.data())), static_cast<std::int64_t>(tensor.shape(0)),
             static_cast<std::int64_t>(tensor.shape(1)), tensor.stride(0), tensor.stride(1)};
    check_memory(name, view_);
  };
  const nb::object capsule = dlpack_of(array, name, writable);
  if (writable) {
    if (nb::try_cast(capsule, tensor_, false)) {
      read(tensor_);
      return;
    }
    if (nb::try_cast(capsule, read_only_tensor_, false)) {
      read_only(name);
    }
  } else if (nb::try_cast(capsule, read_only_tensor_, false)) {
    read(read_only_tensor_);
    return;
  }
  wrong_type(name, nb::type_name(array.type()).c_str(), expected_array);
}

}  // namespace gemmscope::bindings
