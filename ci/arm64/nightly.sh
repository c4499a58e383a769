#!/usr/bin/env bash
# What check.sh leaves out because it takes longer: PyTorch, every backend's contract, all of machine, and a small run.
# usage: ci/arm64/nightly.sh FOLDER     FOLDER must not exist, and is kept
# needs: what build.sh needs
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bash "$here/check.sh" "$1"
work=$(realpath "$1")
step() { printf -- '-- %s (%s s)\n' "$1" "$SECONDS"; }

step "PyTorch: the last build for arm64 without CUDA"
site=$work/venv/lib/python3.11/site-packages
wheels=(--target "$site" --only-binary=:all: --python-version 3.11 --implementation cp --platform manylinux_2_28_aarch64)
"$work/build/bin/pip" install -q "${wheels[@]}" --no-deps torch==2.10.0
"$work/build/bin/pip" install -q "${wheels[@]}" filelock fsspec networkx sympy

step "tests, on emulated arm64"
bash "$here/pytest.sh" "$work" tests/backends/test_contract.py tests/backends/test_operand_options.py \
  tests/backends/test_kernels.py tests/backends/test_agreement.py tests/machine tests/native

step "a small run, on emulated arm64: its times are the emulator's"
cd "$work"
env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE venv/bin/python -m gemmscope run --sizes 64,256 --seconds 60 \
  --backends numpy-cpu,cblas,mlx-cpu --out run
test -s run/report.html

step "done"
