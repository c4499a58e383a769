#!/usr/bin/env bash
# Builds gemmscope for Linux on arm64 and runs the core of its tests under qemu. Emulated: never run on such a machine.
# usage: ci/arm64/check.sh [FOLDER]     FOLDER, a temporary one unless named, must not exist; it is kept if named
# needs: what build.sh needs
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
if [ $# -gt 0 ]; then
  work=$(realpath "$1")
else
  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  work=$temporary/arm64
fi
step() { printf -- '-- %s (%s s)\n' "$1" "$SECONDS"; }

bash "$here/build.sh" "$work"

step "the multiply-add peak is multiply-adds alone"
python3 "$here/mix.py" aarch64-linux-gnu-objdump "$work/objects/CMakeFiles/gemmscope_core.dir/csrc/ceilings.cpp.o"

step "the peak of SME's matrix unit"
bash "$here/sme/check.sh"
# The same through the extension, which asks the system for SME and tries it in a child process first.
EMULATED_CPU=max,sme-default-vector-length=64 "$work/venv/bin/python" -c 'from gemmscope import _kernels
assert _kernels.vector_instructions() == "SME" and _kernels.peak_flops(1) > 0'

step "the core of the tests, on emulated arm64"
bash "$here/pytest.sh" "$work" tests/native/test_native.py tests/backends/test_kernels.py \
  tests/backends/test_agreement.py tests/machine/test_machine.py tests/machine/test_instructions.py \
  tests/analysis/test_parts.py

step "done"
