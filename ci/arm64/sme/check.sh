#!/usr/bin/env bash
# The peak of SME's matrix unit under qemu, at the vector length of Apple's M4 and at others; then faults that must show.
# needs: gcc-aarch64-linux-gnu of binutils 2.38 or later, qemu-user-static 7.2 or later
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$here/../../../csrc/sme.S
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cpu() { echo "max,sme-default-vector-length=$1,sme_fa64=off"; } # without Advanced SIMD while streaming, as on M4
build() { aarch64-linux-gnu-gcc -static -O1 -Wall -Wextra -Werror "$here/check.c" "$1" -lm -o "$work/check"; }

build "$source"
for bytes in 16 32 64 128 256; do qemu-aarch64-static -cpu "$(cpu $bytes)" "$work/check" 100 $((bytes / 4)); done

plant() { # name, sed expression
  sed -E "$2" "$source" > "$work/planted.S"
  ! cmp -s "$work/planted.S" "$source" || { echo "not planted: $1" >&2; exit 1; }
  build "$work/planted.S"
  if qemu-aarch64-static -cpu "$(cpu 64)" "$work/check" 7 16 > "$work/out" 2>&1; then
    echo "NOT NOTICED: $1" >&2
    exit 1
  fi
  echo "  $1: noticed"
}
plant "an outer product less than is counted" 's/^    fmopa za3.*/    nop/'
plant "one more than is counted" 's/^(    fmopa za3.*)/\1\n\1/'
plant "two on one tile, which wait for each other" 's/fmopa za3/fmopa za2/'
plant "the caller's registers not given back" 's/^    ldp d8, d9.*/    add sp, sp, #64/; s/^    ldp d1.*//'
plant "Advanced SIMD in streaming mode" 's/^    zero \{za\}/    zero {za}\n    fadd v5.4s, v5.4s, v5.4s/'
plant "tiles not cleared" 's/^    zero \{za\}/    zero {za}\n    ptrue p0.s\n    fmov z9.s, #1.0\n    fmopa za0.s, p0\/m, p0\/m, z9.s, z9.s/'
plant "floating-point flags left raised" 's/^    msr fpsr.*//'
plant "streaming mode left on" 's/^3:  smstop/3:  nop/'
