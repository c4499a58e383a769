#include "gemm.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace gemmscope {
namespace {

std::string shape_of(std::int64_t rows, std::int64_t columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

BlasInt to_blas_int(std::int64_t value, const char* argument, const char* what) {
  if (value > max_blas_int) {
    throw std::invalid_argument(std::string(argument) + ": its " + what + " is " + std::to_string(value) +
                                ", which is beyond the BLAS's 32-bit integer; expected at most " +
                                std::to_string(max_blas_int));
  }
  return static_cast<BlasInt>(value);
}

// A line is a row of a row-major view or a column of a column-major one. Where there is at most one line, or a line has
// at most one element, the stride of that axis is never used, and NumPy lets it be anything.
bool lines_are_contiguous(std::int64_t lines, std::int64_t length, std::int64_t line_stride,
                          std::int64_t element_stride) {
  const bool elements_adjoin = length <= 1 || element_stride == 1;
  const bool lines_apart = lines <= 1 || line_stride >= std::max<std::int64_t>(length, 1);
  return elements_adjoin && lines_apart;
}

BlasInt leading_dimension(std::int64_t lines, std::int64_t length, std::int64_t line_stride, const char* argument) {
  const std::int64_t shortest = std::max<std::int64_t>(length, 1);
  return to_blas_int(lines <= 1 ? shortest : line_stride, argument, "leading dimension");
}

template <class Element>
Layout layout_of(const MatrixView<Element>& view, const char* argument) {
  to_blas_int(view.rows, argument, "number of rows");
  to_blas_int(view.columns, argument, "number of columns");
  if (view.empty()) {
    return {true, static_cast<BlasInt>(std::max<std::int64_t>(view.columns, 1))};
  }
  if (lines_are_contiguous(view.rows, view.columns, view.row_stride, view.column_stride)) {
    return {true, leading_dimension(view.rows, view.columns, view.row_stride, argument)};
  }
  if (lines_are_contiguous(view.columns, view.rows, view.column_stride, view.row_stride)) {
    return {false, leading_dimension(view.columns, view.rows, view.column_stride, argument)};
  }
  throw std::invalid_argument(std::string(argument) +
                              ": expected contiguous rows or contiguous columns, got strides of " +
                              shape_of(view.row_stride, view.column_stride) +
                              " elements; copy it first, for example with numpy.ascontiguousarray");
}

}  // namespace

Factors check_operands(const Operand& a, const Operand& b) {
  const Factors factors{a, b, layout_of(a, "a"), layout_of(b, "b")};
  if (a.columns != b.rows) {
    throw std::invalid_argument("b: expected " + std::to_string(a.columns) + " rows, because a has shape " +
                                shape_of(a.rows, a.columns) + ", got shape " + shape_of(b.rows, b.columns));
  }
  return factors;
}

Gemm prepare(const Factors& factors, const Product& out) {
  const auto& [a, b, layout_a, layout_b] = factors;
  const Layout layout_out = layout_of(out, "out");
  if (out.rows != a.rows || out.columns != b.columns) {
    throw std::invalid_argument("out: expected shape " + shape_of(a.rows, b.columns) + ", got " +
                                shape_of(out.rows, out.columns));
  }
  Gemm call;
  // In a column-major product every row-major operand is the transposed one, and the other way round.
  call.order = layout_out.by_rows ? Order::row_major : Order::column_major;
  call.transpose_a = layout_a.by_rows == layout_out.by_rows ? Transpose::no : Transpose::yes;
  call.transpose_b = layout_b.by_rows == layout_out.by_rows ? Transpose::no : Transpose::yes;
  call.m = static_cast<BlasInt>(a.rows);
  call.n = static_cast<BlasInt>(b.columns);
  call.k = static_cast<BlasInt>(a.columns);
  call.a = a.data;
  call.lda = layout_a.leading_dimension;
  call.b = b.data;
  call.ldb = layout_b.leading_dimension;
  call.c = out.data;
  call.ldc = layout_out.leading_dimension;
  return call;
}

bool may_overlap(const Operand& operand, const Product& product) {
  if (operand.empty() || product.empty()) {
    return false;
  }
  // Addresses of unrelated objects are compared as integers: pointers may not be.
  const auto begin_of = [](const auto& view) { return reinterpret_cast<std::uintptr_t>(view.data); };
  const auto end_of = [&](const auto& view) {
    const std::int64_t last = (view.rows - 1) * view.row_stride + (view.columns - 1) * view.column_stride;
    return begin_of(view) + (static_cast<std::uintptr_t>(last) + 1) * sizeof(float);
  };
  return begin_of(operand) < end_of(product) && begin_of(product) < end_of(operand);
}

}  // namespace gemmscope
