// gemmscope._native: the linked CBLAS for Python, as a call, as a prepared call, and as a timed loop.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <utility>
#include <vector>

#include "array_argument.h"
#include "blas.h"
#include "gemm.h"
#include "timing.h"

namespace nb = nanobind;

namespace gemmscope::bindings {
namespace {

// The quick look at addresses settles nearly every call. What it leaves open (views that interleave) NumPy decides
// exactly; its solver is exponential in theory, but two strides an array keep it instant.
void check_overlap(const ArrayArgument& operand, nb::handle operand_object, const ArrayArgument& out,
                   nb::handle out_object, const char* name) {
  if (!may_overlap(operand.operand(), out.product())) {
    return;
  }
  const nb::object as_array = nb::module_::import_("numpy").attr("asarray");
  const nb::object share = nb::module_::import_("numpy").attr("shares_memory");
  if (nb::cast<bool>(share(as_array(operand_object), as_array(out_object)))) {
    throw nb::value_error((std::string("out: expected memory of its own, got an array that overlaps ") + name).c_str());
  }
}

// numpy.empty and numpy.float32, kept for the life of the process: looking them up costs as much as the smallest call.
// Found when the module is made, and not at the first call, which may come from two threads at once.
nb::handle numpy_empty;
nb::handle numpy_float32;

nb::object new_output(std::int64_t rows, std::int64_t columns) {
  return numpy_empty(nb::make_tuple(rows, columns), numpy_float32);
}

nb::object sgemm(nb::handle a, nb::handle b, nb::object out) {
  const ArrayArgument operand_a(a, "a", false);
  const ArrayArgument operand_b(b, "b", false);
  // Before the output is allocated: operands that do not fit could ask for any amount of memory.
  const Factors factors = check_operands(operand_a.operand(), operand_b.operand());
  const bool fresh = out.is_none();
  if (fresh) {
    out = new_output(operand_a.operand().rows, operand_b.operand().columns);
  }
  const ArrayArgument output(out, "out", true);
  const Gemm call = prepare(factors, output.product());
  if (!fresh) {
    check_overlap(operand_a, a, output, out, "a");
    check_overlap(operand_b, b, output, out, "b");
  }
  {
    const nb::gil_scoped_release release;
    multiply(call);
  }
  return out;
}

class Plan {
 public:
  Plan(nb::object a, nb::object b, nb::object out)
      : a_(a, "a", false),
        b_(b, "b", false),
        out_(out, "out", true),
        call_(prepare(check_operands(a_.operand(), b_.operand()), out_.product())),
        objects_(nb::make_tuple(a, b, out)) {
    check_overlap(a_, a, out_, out, "a");
    check_overlap(b_, b, out_, out, "b");
    a_.keep(a, "a");
    b_.keep(b, "b");
    out_.keep(out, "out");
  }

  // Throws nanobind::value_error if an array has lost the memory that it had when the plan was made.
  [[nodiscard]] const Gemm& call() const {
    if (a_.exchanged() || b_.exchanged() || out_.exchanged()) [[unlikely]] {
      throw nb::value_error((std::string(a_.exchanged()   ? "a"
                                         : b_.exchanged() ? "b"
                                                          : "out") +
                             ": its memory was exchanged after the plan was made (by share_memory_() for example): "
                             "make another plan")
                                .c_str());
    }
    return call_;
  }
  [[nodiscard]] nb::object object(std::size_t i) const {
    return objects_.is_valid() ? nb::object(objects_[i]) : nb::none();
  }

  // For the garbage collector: calls `visit` for every reference that is held. A tensor that came by DLPack is held
  // once more by its capsule's owner, which cannot be visited: a plan that such a tensor refers to is not collected.
  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(objects_.ptr());
    for (const ArrayArgument* argument : {&a_, &b_, &out_}) {
      Py_VISIT(argument->exporter());
    }
    return 0;
  }

  // Lets go of everything. A plan that is called after this, by a finalizer, say, multiplies nothing.
  void clear() {
    call_ = {};
    for (ArrayArgument* argument : {&a_, &b_, &out_}) {
      argument->release();
    }
    const nb::tuple last = std::move(objects_);
  }

 private:
  ArrayArgument a_;
  ArrayArgument b_;
  ArrayArgument out_;
  Gemm call_;
  nb::tuple objects_;
};

// The type's own call slot. A bound __call__ would be looked up by name and go through nanobind's dispatch, which costs
// more than the smallest call.
PyObject* call_plan(PyObject* self, PyObject* args, PyObject* kwargs) {
  if (PyTuple_GET_SIZE(args) != 0 || (kwargs != nullptr && PyDict_GET_SIZE(kwargs) != 0)) {
    PyErr_SetString(PyExc_TypeError, "a plan takes no arguments: its operands were given when it was made");
    return nullptr;
  }
  // Python lets anyone make an object without its __init__.
  if (!nb::inst_ready(self)) {
    PyErr_SetString(PyExc_TypeError, "this plan was never initialised: make it with Plan(a, b, out)");
    return nullptr;
  }
  const Gemm* call = nullptr;
  try {
    call = &nb::inst_ptr<Plan>(self)->call();
  } catch (const nb::builtin_exception& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
    return nullptr;
  }
  Py_BEGIN_ALLOW_THREADS;
  multiply(*call);
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

// The collector may look at an object that is still being made, whose C++ side is not there yet.
int traverse_plan(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<Plan>(self)->traverse(visit, arg) : 0;
}

int clear_plan(PyObject* self) {
  if (nb::inst_ready(self)) {
    nb::inst_ptr<Plan>(self)->clear();
  }
  return 0;
}

PyType_Slot plan_slots[] = {{Py_tp_call, reinterpret_cast<void*>(call_plan)},
                            {Py_tp_traverse, reinterpret_cast<void*>(traverse_plan)},
                            {Py_tp_clear, reinterpret_cast<void*>(clear_plan)},
                            {0, nullptr}};

double time_plans(const nb::sequence& plans, std::size_t loops, std::size_t first) {
  std::vector<Gemm> calls;
  const nb::tuple held(plans);  // a sequence may make its elements as it is asked for them, or lose them meanwhile
  for (nb::handle plan : held) {
    calls.push_back(nb::cast<const Plan&>(plan).call());
  }
  const nb::gil_scoped_release release;
  return time_gemms(calls, loops, first);
}

nb::dict blas_description() {
  const BlasDescription blas = describe_blas();
  nb::dict description;
  description["interface"] = blas.interface;
  description["symbol"] = blas.symbol;
  description["image"] = blas.image;
  description["config"] = blas.config;
  return description;
}

}  // namespace

NB_MODULE(_native, module) {
  require_numpy();
  const nb::module_ numpy = nb::module_::import_("numpy");
  numpy_empty = nb::object(numpy.attr("empty")).release();
  numpy_float32 = nb::object(numpy.attr("float32")).release();
  module.doc() = "The CBLAS that gemmscope is linked with. The public names are in gemmscope.native.";

  module.def("sgemm", &sgemm, nb::arg("a").none(), nb::arg("b").none(), nb::arg("out") = nb::none(),
             nb::sig("def sgemm(a: Array | Any, b: Array | Any, out: Array | Any | None = None) -> Array"),
             R"(Multiplies two float32 matrices by one ``cblas_sgemm``: C = A·B. The GIL is released meanwhile.

Operands are NumPy arrays, or anything with the buffer protocol or DLPack in the processor's memory: PyTorch's tensors,
memoryviews, MLX arrays.

Args:
    a: Shape (m, k). Rows or columns must be contiguous: C order, F order (a transposed view is passed as a
        transpose) and slices of whole rows or columns are taken as they are. Nothing is ever copied.
    b: Shape (k, n), likewise.
    out: Shape (m, n), likewise, writable, and not overlapping ``a`` or ``b``. Allocated when None.

Returns:
    ``out``, or a new C-contiguous array. With k = 0 it is all zeros.

Raises:
    TypeError: If an argument is no array of float32 in this machine's byte order, in the processor's memory.
    ValueError: If an argument has not two dimensions, shapes do not fit, neither rows nor columns are contiguous,
        ``out`` is read-only or overlaps an operand, or a dimension exceeds the BLAS's 32-bit integer.)");

  nb::class_<Plan>(module, "Plan", nb::type_slots(plan_slots), nb::is_final(), nb::sig("@final\nclass Plan()"),
                   R"(One call of ``sgemm``, its operands checked and kept alive: calling the plan multiplies them into
``out``. The GIL is released meanwhile.

The plan holds the memory that its arrays have when it is made. Values may be changed between calls, but an array that is
given other memory needs another plan: ``ndarray.resize`` and, as after ``tensor.numpy()``, ``tensor.resize_`` refuse to.
After ``tensor.share_memory_()`` the plan is of no use, and says so when it is called.
Two threads must not call plans with the same ``out`` at once. Arguments and errors are those of :func:`sgemm`.)")
      .def(nb::init<nb::object, nb::object, nb::object>(), nb::arg("a").none(), nb::arg("b").none(),
           nb::arg("out").none(),
           nb::sig("def __init__(self, a: Array | Any, b: Array | Any, out: Array | Any) -> None"))
      .def_prop_ro(
          "a", [](const Plan& plan) { return plan.object(0); }, nb::sig("def a(self) -> Array"),
          "The left operand, as it was given.")
      .def_prop_ro(
          "b", [](const Plan& plan) { return plan.object(1); }, nb::sig("def b(self) -> Array"),
          "The right operand, as it was given.")
      .def_prop_ro(
          "out", [](const Plan& plan) { return plan.object(2); }, nb::sig("def out(self) -> Array"),
          "The output, as it was given.");

  module.def("time_plans", &time_plans, nb::arg("plans"), nb::arg("loops"), nb::arg("first") = 0,
             nb::sig("def time_plans(plans: Sequence[Plan], loops: int, first: int = 0) -> float"),
             R"(Seconds for ``loops`` calls in a C++ loop, going round the plans from ``first``.

Raises:
    ValueError: If there is no plan, ``loops`` is beyond 2**40, or an array of a plan was given other memory.)");
  module.def("time_nothing", &time_nothing, nb::arg("loops"), nb::call_guard<nb::gil_scoped_release>(),
             "Seconds that the C++ loop takes around nothing, for ``loops`` turns of it.");
  module.def("blas_description", &blas_description, nb::sig("def blas_description() -> dict[str, str]"),
             "``interface``, ``symbol``, ``image`` (the file) and ``config`` of the linked CBLAS.");
}

}  // namespace gemmscope::bindings
