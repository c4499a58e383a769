// Runs csrc/sme.S under qemu: what is in the four tiles against C, and whether d8 to d15, FPSR and the modes came back.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gemmscope_sme_outer_products(uint64_t steps, float* out);
uint64_t gemmscope_sme_floats(void);

static uint64_t svcr(void) {
  uint64_t value;
  __asm__ volatile("mrs %0, s3_3_c4_c2_2" : "=r"(value));
  return value;
}

static uint64_t fpsr(void) {
  uint64_t value;
  __asm__ volatile("mrs %0, fpsr" : "=r"(value));
  return value;
}

int main(int argc, char** argv) {
  const uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 0) : 5;
  const size_t expected = argc > 2 ? strtoull(argv[2], NULL, 0) : 16;
  const size_t n = gemmscope_sme_floats();
  float* out = malloc(sizeof(float) * 4 * n * n);
  if (out == NULL) return 2;
  memset(out, 0xff, sizeof(float) * 4 * n * n);
  const double before[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  double after[8];
  const uint64_t flags = fpsr();
  register uint64_t x0 __asm__("x0") = steps;
  register float* x1 __asm__("x1") = out;
  // d8 to d15 are set and read in the assembly that calls.
  __asm__ volatile(
      "ldp d8, d9, [%2]\n ldp d10, d11, [%2, #16]\n ldp d12, d13, [%2, #32]\n ldp d14, d15, [%2, #48]\n"
      "mov x19, %3\n bl gemmscope_sme_outer_products\n"
      "stp d8, d9, [x19]\n stp d10, d11, [x19, #16]\n stp d12, d13, [x19, #32]\n stp d14, d15, [x19, #48]\n"
      : "+r"(x0), "+r"(x1)
      : "r"(before), "r"(after)
      : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x19",
        "x30", "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13",
        "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
        "v30", "v31");
  const int flagged = fpsr() != flags;
  const int lost = memcmp(before, after, sizeof before) != 0;
  size_t wrong = 0;
  for (size_t t = 0; t < 4; ++t) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        const float r = (float)i + 1.0F, c = (float)j + 1.0F;
        const float row[4] = {r, 0.5F * r, r - 1.0F, r}, column[4] = {0.5F * c, c, c, 2.0F * c};
        float want = 0.0F;
        for (uint64_t s = 0; s < steps; ++s) want = fmaf(row[t], column[t], want);
        wrong += out[(t * n + i) * n + j] != want;
      }
    }
  }
  printf("%zu floats a row, %zu elements wrong, d8 to d15 %s, FPSR %s, SVCR %d\n", n, wrong, lost ? "lost" : "kept",
         flagged ? "changed" : "kept", (int)svcr());
  return wrong != 0 || lost || flagged || svcr() != 0 || n != expected;
}
