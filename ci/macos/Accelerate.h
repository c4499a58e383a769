// Stands in for Apple's Accelerate/Accelerate.h while cross-compiling, and in tests on Linux: the one prototype that
// gemmscope calls, written from Apple's documentation. The name that it is linked by is the one that MLX's macOS library
// imports.
#pragma once

#ifndef ACCELERATE_NEW_LAPACK
#error "define ACCELERATE_NEW_LAPACK: Apple deprecates the older CBLAS interface"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef int __LAPACK_int;
enum CBLAS_ORDER { CblasRowMajor = 101, CblasColMajor = 102 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112, CblasConjTrans = 113 };

void cblas_sgemm(const enum CBLAS_ORDER ORDER, const enum CBLAS_TRANSPOSE TRANSA, const enum CBLAS_TRANSPOSE TRANSB,
                 const __LAPACK_int M, const __LAPACK_int N, const __LAPACK_int K, const float ALPHA, const float* A,
                 const __LAPACK_int LDA, const float* B, const __LAPACK_int LDB, const float BETA, float* C,
                 const __LAPACK_int LDC) __asm("_cblas_sgemm$NEWLAPACK")
#ifdef __APPLE__
    __attribute__((availability(macos, introduced = 13.3)))
#endif
    ;

#ifdef __cplusplus
}
#endif
