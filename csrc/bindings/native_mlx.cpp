// gemmscope._native_mlx: MLX's C++ API for Python. An mlx.array never crosses this boundary: that would need MLX's own
// nanobind domain and exactly its ABI.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>
#include <vector>

#include "mlx_products.h"

namespace nb = nanobind;

namespace gemmscope::bindings {
namespace {

using Input = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

Operand operand(const Input& array) {
  return {array.data(), static_cast<std::int64_t>(array.shape(0)), static_cast<std::int64_t>(array.shape(1)),
          array.stride(0), array.stride(1)};
}

}  // namespace

NB_MODULE(_native_mlx, module) {
  module.doc() = "gemmscope's calls to MLX's C++ API. gemmscope.backends.mlx checks MLX's version before importing it.";

  nb::class_<MlxProducts>(module, "MlxProducts", "Operand pairs in MLX's memory, for use in the thread that made it.")
      .def(
          "__init__",
          [](MlxProducts* self, const std::vector<std::pair<Input, Input>>& pairs, const std::string& device) {
            std::vector<std::pair<Operand, Operand>> operands;
            operands.reserve(pairs.size());
            for (const auto& [a, b] : pairs) {
              operands.emplace_back(operand(a), operand(b));
            }
            new (self) MlxProducts(operands, device);
          },
          nb::arg("pairs"), nb::arg("device"))
      .def("latency", &MlxProducts::latency, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for `loops` products, each waited for.")
      .def("throughput", &MlxProducts::throughput, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for `loops` products and one wait after all of them.")
      .def("chain", &MlxProducts::chain, nb::arg("length"), nb::arg("first"), nb::arg("factor"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for `length` chained products and one wait.")
      .def(
          "product",
          [](const MlxProducts& self, std::size_t pair, const Output& out) {
            self.product(pair, {out.data(), out.size()});
          },
          nb::arg("pair"), nb::arg("out").noconvert(), "Writes the product of a pair to a C-contiguous array.")
      .def_prop_ro("alignment", &MlxProducts::alignment, "Bytes; 0 where the memory is the device's.");

  module.def("version", &mlx_version, "Version of the libmlx that is loaded.");
  module.def("has_device", &mlx_has_device, nb::arg("device"), "True if MLX can use 'cpu' or 'gpu' here.");
}

}  // namespace gemmscope::bindings
