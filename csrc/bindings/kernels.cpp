// gemmscope._kernels: the kernels that other libraries have loaded, ATen and cuBLAS from C++, caches, the processor's
// ceilings, and what macOS says of a process. It is linked with no BLAS, so that a library's worker keeps the one that
// the library brought.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "array_argument.h"
#include "caches.h"
#include "ceilings.h"
#include "cublas.h"
#include "gemm.h"
#include "kernel.h"
#include "macos.h"
#include "sampling.h"
#include "symbols.h"
#include "torch_mm.h"

namespace nb = nanobind;

namespace gemmscope::bindings {
namespace {

// Products of operand pairs into one output, checked once; the arrays are kept alive.
class Products {
 public:
  Products(const nb::sequence& pairs, const nb::object& out) : out_(out, "out", true), held_{out} {
    for (nb::handle pair : pairs) {
      const nb::object a = pair[0];
      const nb::object b = pair[1];
      const auto& operand_a = *operands_.emplace_back(std::make_unique<ArrayArgument>(a, "a", false));
      const auto& operand_b = *operands_.emplace_back(std::make_unique<ArrayArgument>(b, "b", false));
      calls_.push_back(prepare(check_operands(operand_a.operand(), operand_b.operand()), out_.product()));
      held_.insert(held_.end(), {a, b});
    }
    if (calls_.empty()) {
      throw nb::value_error("pairs: expected at least one pair of operands, got none");
    }
  }

  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  [[nodiscard]] const std::vector<Gemm>& calls() const { return calls_; }

 private:
  ArrayArgument out_;
  std::vector<std::unique_ptr<ArrayArgument>> operands_;
  std::vector<Gemm> calls_;
  std::vector<nb::object> held_;
};

// Makes an object in the place that Python has for it; the operands' memory is read before this returns.
void make_cublas_products(CublasProducts* self, const nb::sequence& pairs, bool tf32,
                          const std::vector<std::string>& runtimes, const std::vector<std::string>& blases) {
  std::vector<std::unique_ptr<ArrayArgument>> arguments;
  std::vector<std::pair<Operand, Operand>> operands;
  for (nb::handle pair : pairs) {
    const nb::object a = pair[0];
    const nb::object b = pair[1];
    const auto& operand_a = *arguments.emplace_back(std::make_unique<ArrayArgument>(a, "a", false));
    const auto& operand_b = *arguments.emplace_back(std::make_unique<ArrayArgument>(b, "b", false));
    operands.emplace_back(operand_a.operand(), operand_b.operand());
  }
  new (self) CublasProducts(operands, tf32 ? CudaMath::tf32 : CudaMath::float32, runtimes, blases);
}

void cublas_product(const CublasProducts& products, std::size_t pair, const nb::object& out) {
  const ArrayArgument argument(out, "out", true);
  const Product view = argument.product();
  if (!view.empty() && (view.column_stride != 1 || view.row_stride != view.columns)) {
    throw nb::value_error("out: expected a C-contiguous matrix");
  }
  products.product(pair, {view.data, static_cast<std::size_t>(view.rows * view.columns)});
}

void evict_array(nb::handle array) {
  const ArrayArgument argument(array, "array", false);
  const Operand view = argument.operand();
  if (!view.empty()) {
    const std::int64_t last = (view.rows - 1) * view.row_stride + (view.columns - 1) * view.column_stride;
    evict(view.data, (static_cast<std::size_t>(last) + 1) * sizeof(float));
  }
}

std::optional<std::pair<std::string, std::string>> find(const std::string& image, const std::string& name) {
  const auto found = find_symbol(image, name);
  if (!found) {
    return std::nullopt;
  }
  return std::pair(found->image, description_of(found->image));
}

std::optional<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>> process_use_tuple() {
  const auto use = process_use();
  if (!use) {
    return std::nullopt;
  }
  return std::tuple(use->ticks, use->performance_ticks, use->nanojoules, use->cycles);
}

}  // namespace

NB_MODULE(_kernels, module) {
  module.doc() = "gemmscope's look at the kernels that other libraries have loaded. Linked with no BLAS of its own.";

  module.def("find_symbol", &find, nb::arg("image"), nb::arg("name"),
             "What `image` would call by that name: the file that holds it and what that says of itself, or None.");

  nb::class_<Products>(module, "Products", "Operand pairs and one output, checked once and kept alive.")
      .def(nb::init<const nb::sequence&, const nb::object&>(), nb::arg("pairs"), nb::arg("out"));

  nb::class_<Kernel>(module, "Kernel", "The sgemm, or sgemv, that a loaded image calls by a name.")
      .def(nb::init<const std::string&, const std::string&, const std::string&, const std::string&>(), nb::arg("image"),
           nb::arg("symbol"), nb::arg("convention"), nb::arg("routine"))
      .def(
          "multiply",
          [](const Kernel& kernel, const Products& products, std::size_t i) {
            kernel.multiply(products.calls().at(i));
          },
          nb::arg("products"), nb::arg("i"), nb::call_guard<nb::gil_scoped_release>(), "Computes one product.")
      .def(
          "time",
          [](const Kernel& kernel, const Products& products, std::size_t loops, std::size_t first) {
            return kernel.time(products.calls(), loops, first);
          },
          nb::arg("products"), nb::arg("loops"), nb::arg("first"), nb::call_guard<nb::gil_scoped_release>(),
          "Seconds for `loops` products in a C++ loop.")
      .def_prop_ro("image", &Kernel::image, "The file that holds the function.")
      .def_prop_ro("description", &Kernel::description, "What that library says of itself.");

  nb::class_<TorchProducts>(module, "TorchProducts",
                            "ATen's mm from C++ on products' memory, by torch's stable C shim.")
      .def(
          "__init__",
          [](TorchProducts* self, const std::string& image, const Products& products) {
            new (self) TorchProducts(image, products.calls());
          },
          nb::arg("image"), nb::arg("products"), nb::keep_alive<1, 3>())
      .def("time", &TorchProducts::time, nb::arg("loops"), nb::arg("first"), nb::call_guard<nb::gil_scoped_release>(),
           "Seconds for `loops` calls in a C++ loop.");

  nb::class_<CublasProducts>(module, "CublasProducts", "Operand pairs on a CUDA device, multiplied by cuBLAS.")
      .def("__init__", &make_cublas_products, nb::arg("pairs"), nb::arg("tf32"), nb::arg("runtimes"), nb::arg("blases"))
      .def("latency", &CublasProducts::latency, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for `loops` products, each waited for.")
      .def("throughput", &CublasProducts::throughput, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for `loops` products and one wait after all of them.")
      .def("event_seconds", &CublasProducts::event_seconds, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for `loops` products by the device's own clock.")
      .def("product", &cublas_product, nb::arg("pair"), nb::arg("out"), "Computes a pair's product into `out`.")
      .def_prop_ro("runtime_image", &CublasProducts::runtime_image, "The file of CUDA's runtime.")
      .def_prop_ro("blas_image", &CublasProducts::blas_image, "The file of cuBLAS.")
      .def_prop_ro("runtime_version", &CublasProducts::runtime_version, "13000 is 13.0.")
      .def_prop_ro("blas_version", &CublasProducts::blas_version, "As cuBLAS numbers itself.");
  module.def("cuda_devices", &cuda_devices, nb::arg("runtimes"), nb::arg("blases"), "The number of CUDA devices.");

  module.def("evict", &evict_array, nb::arg("array"), "Puts an array out of all of the processor's caches.");
  module.def("can_evict", &can_evict, "True if memory can be put out of the processor's caches here.");
  module.def("vector_instructions", &vector_instructions, "The vector instructions that peak_flops uses here.");
  module.def("peak_flops", &peak_flops, nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>(),
             "Float32 operations per second, from registers.");
  module.def("triad_bandwidth", &triad_bandwidth, nb::arg("threads"), nb::arg("size"),
             nb::call_guard<nb::gil_scoped_release>(), "Bytes per second of STREAM's triad.");

  module.def("process_use", &process_use_tuple,
             "macOS: (ticks, ticks on performance cores, nanojoules, cycles) of this process; elsewhere None.");
  module.def("tick_seconds", &tick_seconds, "macOS: seconds of a tick; elsewhere None.");
  module.def("thermal_state", &thermal_state, "macOS: 0 nominal to 3 critical; elsewhere None.");
  module.def("low_power_mode", &low_power_mode, "macOS: whether low-power mode is on; elsewhere None.");
  module.def("run_in_background", &run_in_background,
             "macOS: keeps this process on efficiency cores, if there are any; False where that cannot be.");

  add_sampler(module);
}

}  // namespace gemmscope::bindings
