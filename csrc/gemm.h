// From two-dimensional views of float32 to the arguments of one sgemm, without a copy.
#pragma once

#include <cstdint>

#include "blas.h"

namespace gemmscope {

// A view of float32 in memory. Strides count elements, as in DLPack, not bytes.
template <class Element>
struct MatrixView {
  Element* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 0;

  [[nodiscard]] bool empty() const { return rows == 0 || columns == 0; }
};

using Operand = MatrixView<const float>;
using Product = MatrixView<float>;

// How the BLAS is told where a matrix's elements lie.
struct Layout {
  bool by_rows = true;  // rows are contiguous; else columns are
  BlasInt leading_dimension = 1;
};

// Two operands whose product the BLAS can compute, with the layouts that were worked out to know it.
struct Factors {
  Operand a;
  Operand b;
  Layout layout_a;
  Layout layout_b;
};

// Checks that a b is a product that the BLAS can compute. A view whose columns are contiguous will be passed as a
// transpose, rows or columns that lie further apart than they are long as a leading dimension.
// Throws std::invalid_argument, naming the argument, if the shapes do not fit, if a dimension or a leading dimension is
// beyond the BLAS's integer, or if neither the rows nor the columns of a view are contiguous.
Factors check_operands(const Operand& a, const Operand& b);

// Prepares out = a b. Throws as check_operands does, for out.
// Whether out overlaps an operand is not looked at here: see may_overlap.
Gemm prepare(const Factors& factors, const Product& out);

// True if the stretches of memory between the first and the last element of the two views meet. Views can interleave
// without sharing an element, so true means "look closer"; false is certain.
bool may_overlap(const Operand& operand, const Product& product);

}  // namespace gemmscope
