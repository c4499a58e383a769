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

// Checks that a b is a product that the BLAS can compute: shapes that fit, dimensions within its integer, layouts that
// it knows. Throws as prepare does.
void check_operands(const Operand& a, const Operand& b);

// Prepares out = a b. A view whose columns are contiguous is passed as a transpose, rows or columns that lie further
// apart than they are long as a leading dimension.
// Throws std::invalid_argument, naming the argument, if the shapes do not fit, if a dimension or a leading dimension is
// beyond the BLAS's integer, or if neither the rows nor the columns of a view are contiguous.
// Whether out overlaps an operand is not looked at here: see may_overlap.
Gemm prepare(const Operand& a, const Operand& b, const Product& out);

// True if the stretches of memory between the first and the last element of the two views meet. Views can interleave
// without sharing an element, so true means "look closer"; false is certain.
bool may_overlap(const Operand& operand, const Product& product);

}  // namespace gemmscope
