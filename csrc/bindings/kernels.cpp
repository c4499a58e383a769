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
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "array_argument.h"
#include "blas_library.h"
#include "caches.h"
#include "calls.h"
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

// Calls of operand pairs into one output, checked once; the arrays are kept alive.
class Calls {
 public:
  Calls(const nb::sequence& pairs, const nb::object& out) : out_(out, "out", true), held_{out} {
    for (nb::handle pair : pairs) {
      const nb::object a = pair[0];
      const nb::object b = pair[1];
      auto& operand_a = *operands_.emplace_back(std::make_unique<ArrayArgument>(a, "a", false));
      auto& operand_b = *operands_.emplace_back(std::make_unique<ArrayArgument>(b, "b", false));
      calls_.push_back(prepare(check_operands(operand_a.operand(), operand_b.operand()), out_.product()));
      operand_a.keep(a, "a");
      operand_b.keep(b, "b");
      held_.insert(held_.end(), {a, b});
    }
    out_.keep(out, "out");
    if (calls_.empty()) {
      throw nb::value_error("pairs: expected at least one pair of operands, got none");
    }
  }

  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  [[nodiscard]] const std::vector<Gemm>& list() const { return calls_; }

 private:
  ArrayArgument out_;
  std::vector<std::unique_ptr<ArrayArgument>> operands_;
  std::vector<Gemm> calls_;
  std::vector<nb::object> held_;
};

// Makes an object in the place that Python has for it; the operands' memory is read before this returns.
void make_cublas_calls(CublasCalls* self, const nb::sequence& pairs, bool tf32, const std::string& runtime,
                       const std::string& blas) {
  std::vector<std::unique_ptr<ArrayArgument>> arguments;
  std::vector<std::pair<Operand, Operand>> operands;
  std::vector<nb::object> held;
  for (nb::handle pair : pairs) {
    const nb::object a = pair[0];
    const nb::object b = pair[1];
    const auto& operand_a = *arguments.emplace_back(std::make_unique<ArrayArgument>(a, "a", false));
    const auto& operand_b = *arguments.emplace_back(std::make_unique<ArrayArgument>(b, "b", false));
    operands.emplace_back(operand_a.operand(), operand_b.operand());
    held.insert(held.end(), {a, b});
  }
  new (self) CublasCalls(operands, tf32 ? CudaMath::tf32 : CudaMath::float32, runtime, blas);
}

void cublas_product(const CublasCalls& calls, std::size_t pair, const nb::object& out) {
  const ArrayArgument argument(out, "out", true);
  const Product view = argument.product();
  if (!view.empty() && (view.column_stride != 1 || view.row_stride != view.columns)) {
    throw nb::value_error("out: expected a C-contiguous matrix");
  }
  calls.product(pair, {view.data, static_cast<std::size_t>(view.rows * view.columns)});
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

std::optional<std::uint64_t> count_calls(const std::string& image, const std::string& symbol,
                                         const nb::callable& function) {
  const CallCounter counter(image, symbol);
  if (!counter.counts()) {
    return std::nullopt;
  }
  function();
  return counter.count();
}

// Loads a BLAS for good, and says by which name and convention its sgemm is called.
std::pair<std::string, std::string> load_blas(const std::string& path) {
  const BlasLibrary library(path);
  for (const bool long_integers : {false, true}) {
    for (const auto interface : {Interface::cblas, Interface::fortran}) {
      if (auto found = library.find("sgemm", interface, long_integers); found.address != nullptr) {
        return {found.symbol, std::string(interface == Interface::cblas ? "cblas" : "fortran") +
                                  (long_integers ? "-ilp64" : "-lp64")};
      }
    }
  }
  throw std::runtime_error(path + " has no sgemm by any name that libraries have for it");
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
  module.doc() =
      "Kernels that libraries have loaded, ATen and cuBLAS, caches, ceilings, macOS. Linked with no BLAS of its own.";

  module.def("find_symbol", &find, nb::arg("image"), nb::arg("name"),
             R"(What ``image``, a library that is loaded already, would call by that name.

A definition in the global scope, which is where LD_PRELOAD puts its own, wins over the image's own and those of what
it depends on. An empty image asks for the global scope alone.

Returns:
    The file that holds the function, and what that library says of itself (version, options); None if there is no
    such name.)");

  module.def("count_calls", &count_calls, nb::arg("image"), nb::arg("symbol"), nb::arg("function"),
             nb::sig("def count_calls(image: str, symbol: str, function: Callable[[], object]) -> int | None"),
             R"(How often an image calls a function of that name while ``function`` runs, which computes nothing then.

Calls are counted in the image's own table of addresses, and go nowhere. No other thread may multiply meanwhile.

Returns:
    The number of calls; None where they go through no such table: on macOS, or where the image does not import the
    name.)");

  module.def("description_of", &description_of, nb::arg("image"),
             "What a loaded BLAS says of itself (version, options); empty where it says nothing, or is not loaded.");

  module.def("blas_file_problem", &problem_of_blas_file, nb::arg("path"),
             R"(Why a file cannot be a BLAS in this process, in words; empty if it may be one.

Its headers and the names that it exports are read; nothing of it is loaded. Always empty on macOS, where a library need
not be a file.)");

  module.def("load_blas", &load_blas, nb::arg("path"), nb::call_guard<nb::gil_scoped_release>(),
             R"(Loads a BLAS, which stays loaded; its own calls find its own functions.

Returns:
    The name of its sgemm, and the convention by which that is called: see :class:`Kernel`.

Raises:
    RuntimeError: If it cannot be loaded, in the loader's words, or has no sgemm.)");

  nb::class_<Calls>(module, "Calls", nb::is_final(),
                    R"(Operand pairs and the output that each of them is multiplied into: checked once, and kept alive.

Operands may be transposed views.

Raises:
    TypeError, ValueError: As :func:`gemmscope.native.sgemm`, or if there is no pair.)")
      .def(nb::init<const nb::sequence&, const nb::object&>(), nb::arg("pairs"), nb::arg("out"),
           nb::sig("def __init__(self, pairs: Sequence[tuple[Array | Any, Array | Any]], out: Array | Any) -> None"));

  nb::class_<Kernel>(module, "Kernel", nb::is_final(), nb::sig("@final\nclass Kernel()"),
                     R"(The sgemm, or sgemv, that a loaded image calls by a name.

Args:
    image: The calling library's file, as the loader names it.
    symbol: The function's name.
    convention: ``"cblas-lp64"``, ``"cblas-ilp64"``, ``"fortran-lp64"`` or ``"fortran-ilp64"``. A wrong one gives wrong
        results, or ends the process.
    routine: ``"sgemm"``, or ``"sgemv"`` for results with one row or one column.
    own: Whether the image's own function is meant, and not one that LD_PRELOAD puts before it.

Raises:
    ValueError: If there is no such symbol, convention or routine.)")
      .def(
          "__init__",
          [](Kernel* self, const std::string& image, const std::string& symbol, const std::string& convention,
             const std::string& routine, bool own) {
            new (self) Kernel(image, symbol, convention, routine, own ? Scope::image_alone : Scope::global_first);
          },
          nb::arg("image"), nb::arg("symbol"), nb::arg("convention"), nb::arg("routine"), nb::arg("own") = false)
      .def(
          "multiply",
          [](const Kernel& kernel, const Calls& calls, std::size_t i) { kernel.multiply(calls.list().at(i)); },
          nb::arg("calls"), nb::arg("i"), nb::call_guard<nb::gil_scoped_release>(), R"(Multiplies pair ``i``.

Raises:
    IndexError: If there is no such pair.
    ValueError: If the result is empty, or, for sgemv, has neither one row nor one column.)")
      .def(
          "time",
          [](const Kernel& kernel, const Calls& calls, std::size_t loops, std::size_t first) {
            return kernel.time(calls.list(), loops, first);
          },
          nb::arg("calls"), nb::arg("loops"), nb::arg("first"), nb::call_guard<nb::gil_scoped_release>(),
          "Seconds for ``loops`` calls in a C++ loop, going round the pairs from ``first``.")
      .def_prop_ro("image", &Kernel::image, "The file that holds the function.")
      .def_prop_ro("description", &Kernel::description, "What that library says of itself.");

  nb::class_<TorchCalls>(module, "TorchCalls", nb::is_final(),
                         R"(ATen's ``mm`` with an output, from C++, by the stable C interface that libtorch_cpu exports.

Raises:
    RuntimeError: If ``image`` lacks one of its functions, or torch refuses the memory.)")
      .def(
          "__init__",
          [](TorchCalls* self, const std::string& image, const Calls& calls) {
            new (self) TorchCalls(image, calls.list());
          },
          nb::arg("image"), nb::arg("calls"), nb::keep_alive<1, 3>())
      .def("time", &TorchCalls::time, nb::arg("loops"), nb::arg("first"), nb::call_guard<nb::gil_scoped_release>(),
           "Seconds for ``loops`` calls in a C++ loop, under the thread's own modes (inference, number of threads).");

  nb::class_<CublasCalls>(module, "CublasCalls", nb::is_final(), nb::sig("@final\nclass CublasCalls()"),
                          R"(Operand pairs in a CUDA device's memory, multiplied by cuBLAS.

Args:
    pairs: The operands, C-contiguous, shapes (m, k) and (k, n), all pairs alike; they are copied.
    tf32: Whether TF32 is allowed. Without it the results are IEEE float32.
    runtime: The file of CUDA's runtime, libcudart.
    blas: The file of libcublas.

Raises:
    RuntimeError: If a library, a device or its memory is not there, with CUDA's name for the error. Every method
        raises it where CUDA reports one.
    TypeError, ValueError: If the operands do not fit together.)")
      .def("__init__", &make_cublas_calls, nb::arg("pairs"), nb::arg("tf32"), nb::arg("runtime"), nb::arg("blas"),
           nb::sig("def __init__(self, pairs: Sequence[tuple[Array | Any, Array | Any]], tf32: bool, runtime: str, "
                   "blas: str) -> None"))
      .def("latency", &CublasCalls::latency, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(),
           "Seconds for ``loops`` calls, each waited for, going round the pairs from ``first``.")
      .def("throughput", &CublasCalls::throughput, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(), "Seconds for ``loops`` calls and one wait after all of them.")
      .def("event_seconds", &CublasCalls::event_seconds, nb::arg("loops"), nb::arg("first"),
           nb::call_guard<nb::gil_scoped_release>(),
           "Seconds for ``loops`` calls by the device's own clock, around queues that were full before it ran.")
      .def("product", &cublas_product, nb::arg("pair"), nb::arg("out"),
           nb::sig("def product(self, pair: int, out: Array | Any) -> None"),
           R"(Multiplies a pair into a C-contiguous array of shape (m, n).

Raises:
    IndexError: If there is no such pair.
    ValueError: If ``out`` is of another size, or not C-contiguous.)")
      .def_prop_ro("runtime_image", &CublasCalls::runtime_image, "The file of CUDA's runtime.")
      .def_prop_ro("blas_image", &CublasCalls::blas_image, "The file of cuBLAS.")
      .def_prop_ro("runtime_version", &CublasCalls::runtime_version, "As the runtime numbers itself: 13000 is 13.0.")
      .def_prop_ro("blas_version", &CublasCalls::blas_version, "As cuBLAS numbers itself.");
  module.def("cuda_devices", &cuda_devices, nb::arg("runtime"), nb::arg("blas"), R"(The number of CUDA devices.

Raises:
    RuntimeError: If CUDA's runtime or cuBLAS cannot be loaded, or reports an error.)");

  module.def(
      "evict", &evict_array, nb::arg("array"), nb::sig("def evict(array: Array | Any) -> None"),
      "Writes back and drops every cache line of a 2-D float32 array, from all levels of the processor's caches.");
  module.def("can_evict", &can_evict, "True if :func:`evict` can do so here.");
  module.def("vector_instructions", &vector_instructions,
             R"(What :func:`peak_flops` uses: ``"AVX-512"``, ``"AVX2"``, ``"NEON"``, ``"SME"`` or ``"none"``.)");
  module.def("peak_flops", &peak_flops, nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>(),
             R"(Float32 operations per second of fused multiply-adds on registers (two each), by ``threads`` threads.

With SME they are those of outer products, in matrix units that cores share.

Raises:
    RuntimeError: If the system does not start so many threads.
    ValueError: If ``threads`` is 0.)");
  module.def("amx_peak_flops", &amx_peak_flops, nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>(),
             R"(The same by the outer products of AMX, the undocumented matrix unit of Apple's M1 to M3.

A processor without AMX ends the process: call it in one that may end, as :mod:`gemmscope.machine.amx` does.

Raises:
    RuntimeError: If gemmscope was not built for macOS on arm64, or the system does not start so many threads.
    ValueError: If ``threads`` is 0.)");
  module.def("triad_bandwidth", &triad_bandwidth, nb::arg("threads"), nb::arg("size"),
             nb::call_guard<nb::gil_scoped_release>(),
             R"(Bytes per second of STREAM's triad over three arrays that take ``size`` bytes together.

Raises:
    RuntimeError: If the system does not start so many threads.
    ValueError: If ``threads`` is 0, or a thread would have no element.)");

  module.def(
      "process_use", &process_use_tuple,
      R"(macOS: this process's ticks on all cores, those on performance cores, nanojoules and cycles (0: not counted).

None on other systems.)");
  module.def("tick_seconds", &tick_seconds, "macOS: seconds of one tick. None on other systems.");
  module.def("thermal_state", &thermal_state,
             "macOS: 0 nominal, 1 fair, 2 serious, 3 critical. None on other systems.");
  module.def("low_power_mode", &low_power_mode, "macOS: whether low-power mode is on. None on other systems.");
  module.def(
      "run_in_background", &run_in_background,
      "macOS: keeps this process, all its threads, on efficiency cores where there are any; False where refused.");

  add_sampler(module);
}

}  // namespace gemmscope::bindings
