// gemmscope._native_mlx: MLX's C++ API for Python. An mlx.array never crosses this boundary: that would need MLX's own
// nanobind domain and exactly its ABI.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>
#include <vector>

#include "mlx_calls.h"

namespace nb = nanobind;

namespace gemmscope::bindings {
namespace {

using Input = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

Operand operand(const Input& array) {
  if (array.data() == nullptr && array.size() != 0) {
    throw nb::value_error("pairs: expected an array with elements, got one without memory");
  }
  return {array.data(), static_cast<std::int64_t>(array.shape(0)), static_cast<std::int64_t>(array.shape(1)),
          array.stride(0), array.stride(1)};
}

}  // namespace

NB_MODULE(_native_mlx, module) {
  module.doc() =
      "MLX's C++ API. Importable only where the MLX that is installed is the one that gemmscope was built against.";

  nb::class_<MlxCalls>(module, "MlxCalls", nb::is_final(), nb::sig("@final\nclass MlxCalls()"),
                       R"(Operand pairs in MLX's own memory, for use in the thread that made it.

Args:
    pairs: C-contiguous float32 matrices of shapes (m, k) and (k, n); they are copied.
    device: ``"cpu"`` or ``"gpu"``.

Raises:
    ValueError: If the device is not there, there is no pair, or dimensions do not fit.)")
      .def(
          "__init__",
          [](MlxCalls* self, const std::vector<std::pair<Input, Input>>& pairs, const std::string& device) {
            std::vector<std::pair<Operand, Operand>> operands;
            operands.reserve(pairs.size());
            for (const auto& [a, b] : pairs) {
              operands.emplace_back(operand(a), operand(b));
            }
            new (self) MlxCalls(operands, device);
          },
          nb::arg("pairs"), nb::arg("device"),
          nb::sig(
              "def __init__(self, pairs: Sequence[tuple[Array, Array]], device: Literal[\"cpu\", \"gpu\"]) -> None"))
      .def("latency", &MlxCalls::latency, nb::arg("loops"), nb::arg("first"), nb::call_guard<nb::gil_scoped_release>(),
           "Seconds for ``loops`` calls, each waited for, going round the pairs from ``first``.")
      .def("throughput", &MlxCalls::throughput, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for ``loops`` calls and one wait after all of them.")
      .def("chain", &MlxCalls::chain, nb::arg("length"), nb::arg("first"), nb::arg("factor"),
           nb::call_guard<nb::gil_scoped_release>(),
           R"(Seconds for ``length`` chained calls and one wait: C = A·B, then C = C·B, with ``factor`` on B.

Raises:
    ValueError: If B is not square.)")
      .def(
          "product",
          [](const MlxCalls& self, std::size_t pair, const Output& out) {
            self.product(pair, {out.data(), out.size()});
          },
          nb::arg("pair"), nb::arg("out").noconvert(), nb::sig("def product(self, pair: int, out: Array) -> None"),
          R"(Multiplies a pair into a C-contiguous array of shape (m, n).

Raises:
    IndexError: If there is no such pair.
    ValueError: If ``out`` is of another size.)")
      .def_prop_ro("alignment", &MlxCalls::alignment, "The smallest alignment of the operands in bytes; 0 on a gpu.");

  module.def("version", &mlx_version, "The version of the libmlx that is loaded.");
  module.def("has_device", &mlx_has_device, nb::arg("device"),
             nb::sig("def has_device(device: Literal[\"cpu\", \"gpu\"]) -> bool"),
             "True if MLX can use the device here.");
}

}  // namespace gemmscope::bindings
