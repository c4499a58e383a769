// AMX, the matrix unit of Apple's M1 to M3, at its peak: nothing but float32 outer products. Apple documents none of it,
// and no assembler knows it: instruction words and operands are those that github.com/corsix/amx describes.
//   void gemmscope_amx_outer_products(uint64_t steps, const float* operands, float* out)
//     operands: 16 floats for X, then 16 for Y; out: Z, which is 64 rows of 16 floats, or NULL
// A step is four outer products, one for each of the accumulators that float32 makes of Z: four chains that do not wait
// for each other, which saturate a unit (its perf.c). No register of the caller's is touched.
#if defined(__aarch64__)
// The operand is a general register's number; of SET_OR_CLEAR it is 0 to switch the unit on, and 1 to switch it off.
#define AMX(operation, operand) .word 0x00201000 | ((operation) << 5) | (operand)
#define LDX 0
#define LDY 1
#define STZ 5
#define FMA32 12
#define SET_OR_CLEAR 17
    .text

    .p2align 4
    .globl _gemmscope_amx_outer_products
    .private_extern _gemmscope_amx_outer_products
_gemmscope_amx_outer_products:
    nop                         // as Accelerate does before it switches
    nop
    nop
    AMX(SET_OR_CLEAR, 0)        // all registers are zero then
    AMX(LDX, 1)                 // bits 0 to 55 the address, 56 to 58 the register
    add x3, x1, #64
    AMX(LDY, 3)
    mov x4, #0                  // bits 20 to 25 the first row in Z, below the offsets in X and Y
    mov x5, #(1 << 20)
    mov x6, #(2 << 20)
    mov x7, #(3 << 20)
1:  AMX(FMA32, 4)
    AMX(FMA32, 5)
    AMX(FMA32, 6)
    AMX(FMA32, 7)
    subs x0, x0, #1
    b.ne 1b
    cbz x2, 3f
    mov x3, #64
    mov x4, #(1 << 56)
    add x4, x4, #64             // the next row of Z, and its place
2:  AMX(STZ, 2)
    add x2, x2, x4
    subs x3, x3, #1
    b.ne 2b
3:  nop
    nop
    nop
    AMX(SET_OR_CLEAR, 1)
    ret
#endif
