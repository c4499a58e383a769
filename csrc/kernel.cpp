#include "kernel.h"

#include <stdexcept>
#include <utility>

#include "symbols.h"
#include "timing.h"

namespace gemmscope {
namespace kernels {

template <class Int>
void CblasGemm<Int>::operator()(const Gemm& call) const noexcept {
  function(static_cast<int>(call.order), static_cast<int>(call.transpose_a), static_cast<int>(call.transpose_b), call.m,
           call.n, call.k, 1.0F, call.a, call.lda, call.b, call.ldb, 0.0F, call.c, call.ldc);
}

template <class Int>
void FortranGemm<Int>::operator()(const Gemm& call) const noexcept {
  const auto letter = [](Transpose transpose) { return transpose == Transpose::yes ? "T" : "N"; };
  const float one = 1.0F;
  const float zero = 0.0F;
  const Int m = call.m;
  const Int n = call.n;
  const Int k = call.k;
  const Int lda = call.lda;
  const Int ldb = call.ldb;
  const Int ldc = call.ldc;
  if (call.order == Order::column_major) {
    function(letter(call.transpose_a), letter(call.transpose_b), &m, &n, &k, &one, call.a, &lda, call.b, &ldb, &zero,
             call.c, &ldc);
  } else {
    // A row-major C is a column-major transpose of C, which is the transpose of B times that of A.
    function(letter(call.transpose_b), letter(call.transpose_a), &n, &m, &k, &one, call.b, &ldb, call.a, &lda, &zero,
             call.c, &ldc);
  }
}

template <class Int>
void CblasGemv<Int>::operator()(const Gemm& call) const noexcept {
  const bool by_rows = call.order == Order::row_major;
  const bool plain_a = call.transpose_a == Transpose::no;
  const bool plain_b = call.transpose_b == Transpose::no;
  const int order = static_cast<int>(call.order);
  const int no = static_cast<int>(Transpose::no);
  const int yes = static_cast<int>(Transpose::yes);
  if (call.m == 1) {
    // The one row of C is the transpose of B times the one row of A.
    const Int step_a = plain_a == by_rows ? 1 : call.lda;
    const Int step_c = by_rows ? 1 : call.ldc;
    function(order, plain_b ? yes : no, plain_b ? call.k : call.n, plain_b ? call.n : call.k, 1.0F, call.b, call.ldb,
             call.a, step_a, 0.0F, call.c, step_c);
  } else {
    const Int step_b = plain_b == by_rows ? call.ldb : 1;
    const Int step_c = by_rows ? call.ldc : 1;
    function(order, plain_a ? no : yes, plain_a ? call.m : call.k, plain_a ? call.k : call.m, 1.0F, call.a, call.lda,
             call.b, step_b, 0.0F, call.c, step_c);
  }
}

}  // namespace kernels

namespace {

template <template <class> class Routine, class Variant, class Int>
Variant typed(void* address) {
  return Routine<Int>{reinterpret_cast<typename Routine<Int>::Function*>(address)};
}

}  // namespace

Kernel::Kernel(const std::string& image, const std::string& symbol, std::string_view convention,
               std::string_view routine, Scope scope)
    : needs_vector_(routine == "sgemv"), function_([&]() -> Function {
        const auto found = find_symbol(image, symbol, scope);
        if (!found) {
          throw std::invalid_argument("symbol: " + symbol + " is not in " + (image.empty() ? "the process" : image));
        }
        image_ = found->image;
        void* address = found->address;
        if (routine == "sgemm") {
          if (convention == "cblas-lp64") {
            return typed<kernels::CblasGemm, Function, std::int32_t>(address);
          }
          if (convention == "cblas-ilp64") {
            return typed<kernels::CblasGemm, Function, std::int64_t>(address);
          }
          if (convention == "fortran-lp64") {
            return typed<kernels::FortranGemm, Function, std::int32_t>(address);
          }
          if (convention == "fortran-ilp64") {
            return typed<kernels::FortranGemm, Function, std::int64_t>(address);
          }
        } else if (routine == "sgemv") {
          if (convention == "cblas-lp64") {
            return typed<kernels::CblasGemv, Function, std::int32_t>(address);
          }
          if (convention == "cblas-ilp64") {
            return typed<kernels::CblasGemv, Function, std::int64_t>(address);
          }
        }
        throw std::invalid_argument("convention, routine: there is no " + std::string(routine) + " by " +
                                    std::string(convention));
      }()) {}

void Kernel::multiply(const Gemm& call) const {
  if (call.m == 0 || call.n == 0 || call.k == 0) {
    throw std::invalid_argument("an empty C has no kernel: no library calls one for it");
  }
  if (needs_vector_ && call.m != 1 && call.n != 1) {
    throw std::invalid_argument("sgemv: expected C to have one row or one column");
  }
  std::visit([&call](const auto& function) { function(call); }, function_);
}

double Kernel::time(std::span<const Gemm> calls, std::size_t loops, std::size_t first) const {
  if (calls.empty()) {
    throw std::invalid_argument("calls: expected at least one call, got none");
  }
  // The choice of the function lies outside of the loop that is timed.
  return std::visit(
      [&](const auto& function) {
        return time_rotation(calls.size(), loops, first, [&](std::size_t i) { function(calls[i]); });
      },
      function_);
}

std::string Kernel::description() const { return description_of(image_); }

}  // namespace gemmscope
