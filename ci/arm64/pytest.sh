#!/usr/bin/env bash
# Runs pytest of the project on emulated arm64: ci/arm64/pytest.sh FOLDER ARGUMENT..., with the FOLDER that build.sh made.
set -euo pipefail
python=$(realpath "$1")/venv/bin/python
shift
cd "$(dirname "$0")/../.."
# Settings for this machine's processor are none for the emulated one; what tests compile is for that one.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE PYTHONPATH
export CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ PYTHONDONTWRITEBYTECODE=1
# qemu-user does not hold a program to the limit of its memory that it sets itself.
exec "$python" -m pytest -q -n 0 -p no:cacheprovider --timeout 900 \
  --deselect tests/backends/test_kernels.py::test_a_thread_that_cannot_be_started_is_said "$@"
