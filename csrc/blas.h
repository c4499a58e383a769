// The CBLAS that gemmscope is linked with: one call, and what can be said of where it comes from.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace gemmscope {

// Every CBLAS that we link (Accelerate's NEWLAPACK interface, scipy-openblas32, a user's choice) is LP64: its integers
// have 32 bits. Dimensions are checked against this before a call; a BLAS would quietly wrap around.
using BlasInt = std::int32_t;
inline constexpr std::int64_t max_blas_int = std::numeric_limits<BlasInt>::max();

// The values are those of the CBLAS standard (Basic Linear Algebra Subprograms Technical Forum Standard, annex B.2).
enum class Order : int { row_major = 101, column_major = 102 };
enum class Transpose : int { no = 111, yes = 112 };

// The arguments of one sgemm with alpha = 1 and beta = 0: C = op(A) op(B). It owns nothing.
struct Gemm {
  Order order = Order::row_major;
  Transpose transpose_a = Transpose::no;
  Transpose transpose_b = Transpose::no;
  BlasInt m = 0;
  BlasInt n = 0;
  BlasInt k = 0;
  const float* a = nullptr;
  BlasInt lda = 1;
  const float* b = nullptr;
  BlasInt ldb = 1;
  float* c = nullptr;
  BlasInt ldc = 1;
};

// Multiplies. With K = 0 the result is all zeros, and an empty one is left alone; neither reaches the BLAS.
void multiply(const Gemm& call) noexcept;

struct BlasDescription {
  std::string interface;  // "Accelerate" or "CBLAS"
  std::string symbol;     // the name that the linker resolved
  std::string image;      // the file that holds it, as the loader names it; empty where the loader does not say
  std::string config;     // what the library says of itself; empty where it says nothing
};

BlasDescription describe_blas();

}  // namespace gemmscope
