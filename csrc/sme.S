// The matrix unit of Armv9's SME, at its peak: nothing but float32 outer products. Written in assembly as a whole, so that
// no compiler touches a vector register, or thread-local data, between smstart and smstop.
//   void gemmscope_sme_outer_products(uint64_t steps, float* out)   out: four tiles, row by row, or NULL
//   uint64_t gemmscope_sme_floats(void)                             floats in a row of a tile
// A step is one FMOPA on each of the four tiles: four chains that do not wait for each other, which saturate a unit.
#if defined(__aarch64__)
#if defined(__APPLE__)
#define NAME(name) _##name
#define HIDDEN(name) .private_extern _##name
#else
#define NAME(name) name
#define HIDDEN(name) .hidden name
    .section .note.GNU-stack, "", %progbits
#endif
    .arch armv9-a+sme
    .text

    .p2align 4
    .globl NAME(gemmscope_sme_floats)
    HIDDEN(gemmscope_sme_floats)
NAME(gemmscope_sme_floats):
    rdsvl x0, #1
    lsr x0, x0, #2
    ret

    .p2align 4
    .globl NAME(gemmscope_sme_outer_products)
    HIDDEN(gemmscope_sme_outer_products)
NAME(gemmscope_sme_outer_products):
    // smstart and smstop zero all vector registers, of which the lower halves of v8 to v15 are the caller's (AAPCS64).
    stp d8, d9, [sp, #-64]!
    stp d10, d11, [sp, #16]
    stp d12, d13, [sp, #32]
    stp d14, d15, [sp, #48]
    mrs x9, fpsr                // they raise floating-point flags too, which NumPy would take for its own
    smstart
    zero {za}
    ptrue p0.s
    index z8.s, #1, #1          // 1, 2, 3, ...: from zeros nobody would see that something was added
    scvtf z0.s, p0/m, z8.s
    fmov z1.s, #0.5
    fmov z2.s, #-1.0
    fmov z3.s, #2.0
    fmul z1.s, z1.s, z0.s
    fadd z2.s, z2.s, z0.s
    fmul z3.s, z3.s, z0.s
1:  fmopa za0.s, p0/m, p0/m, z0.s, z1.s
    fmopa za1.s, p0/m, p0/m, z1.s, z0.s
    fmopa za2.s, p0/m, p0/m, z2.s, z0.s
    fmopa za3.s, p0/m, p0/m, z0.s, z3.s
    subs x0, x0, #1
    b.ne 1b
    cbz x1, 3f
    cntw x3
    mov w12, #0
2:  st1w {za0h.s[w12, 0]}, p0, [x1]
    mul x4, x3, x3
    add x5, x1, x4, lsl #2
    st1w {za1h.s[w12, 0]}, p0, [x5]
    add x5, x5, x4, lsl #2
    st1w {za2h.s[w12, 0]}, p0, [x5]
    add x5, x5, x4, lsl #2
    st1w {za3h.s[w12, 0]}, p0, [x5]
    add x1, x1, x3, lsl #2
    add w12, w12, #1
    cmp w12, w3
    b.lo 2b
3:  smstop
    msr fpsr, x9
    ldp d10, d11, [sp, #16]
    ldp d12, d13, [sp, #32]
    ldp d14, d15, [sp, #48]
    ldp d8, d9, [sp], #64
    ret
#endif
