#!/usr/bin/env bash
# Builds gemmscope for Linux on arm64 on another Linux, and an emulated Python that runs it: FOLDER/venv/bin/python.
# usage: ci/arm64/build.sh FOLDER      FOLDER must not exist
# needs: qemu-user-static, mmdebstrap, gcc and g++-aarch64-linux-gnu (installed by apt where this runs as root), Python's
# venv, a package index, a Debian mirror
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
mkdir "$1"
work=$(cd "$1" && pwd)
cd "$work"
step() { printf -- '-- %s (%s s)\n' "$1" "$SECONDS"; }
# Settings for the processor and the Python of this machine are none for the emulated ones.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1

# The extensions are compiled with this machine's Python's headers, for Debian 12's Python.
python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "python3 must be Python 3.11" >&2; exit 1; }

step "tools"
tools=(qemu-user-static mmdebstrap gcc libc6-dev g++-aarch64-linux-gnu)
if ! command -v qemu-aarch64-static mmdebstrap gcc aarch64-linux-gnu-g++ > /dev/null; then
  if [ "$(id -u)" != 0 ] || ! apt-get update -q || ! apt-get install -y -q --no-install-recommends "${tools[@]}"; then
    echo "install ${tools[*]}, and run this again" >&2
    exit 1
  fi
fi > apt.log

step "a root with Python: unpacked, no package's script is run"
# From the mirror that this machine has, if it is one of Debian's; else from mmdebstrap's own.
sources=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null || true)
mirror=$(grep -m1 -oE 'https?://[^ ]+/debian/?( |$)' <<< "$sources" | tr -d ' ' || true)
mmdebstrap --quiet --arch=arm64 --variant=extract \
  --include=python3,libpython3.11-stdlib,libstdc++6,libgomp1,libatomic1,libc-bin bookworm root ${mirror:+"$mirror"} > root.log 2>&1 ||
  { cat root.log; exit 1; }
# qemu looks below the root first: an empty proc there would hide every process.
find root -mindepth 1 -maxdepth 1 ! -name lib ! -name usr -exec rm -rf {} +

step "an environment whose python is qemu"
site=$work/venv/lib/python3.11/site-packages
mkdir -p venv/bin "$site"
printf 'home = %s/root/usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' "$work" > venv/pyvenv.cfg
gcc -static -O1 -Wall -Werror -DQEMU="\"$(command -v qemu-aarch64-static)\"" -DROOT="\"$work/root\"" \
  -DSELF="\"$work/venv/bin/python\"" -o venv/bin/python "$here/python.c"
ln -s python venv/bin/python3

step "wheels for arm64, fetched by this machine's pip"
python3 -m venv build
wheels=(--target "$site" --only-binary=:all: --python-version 3.11 --implementation cp)
for libc in 36 35 34 31 28 27 26 24 17; do wheels+=(--platform "manylinux_2_${libc}_aarch64"); done
wheels+=(--platform manylinux2014_aarch64)
# Not torch: with what its markers ask for on arm64 it takes gigabytes. nightly.sh adds it.
build/bin/pip install -q "${wheels[@]}" -c "$project/constraints.txt" altair capstone click cuda-pathfinder jinja2 'mlx[cpu]' msgspec \
  numpy psutil rich scipy scipy-openblas32 threadpoolctl vl-convert-python hypothesis jsonschema pandas pyperf pytest \
  pytest-timeout pytest-xdist

step "the project's own build, for Linux on arm64"
build/bin/pip install -q cmake==4.4.4 ninja build scikit-build-core==1.1.2 nanobind==3.1.0
mkdir project
cp -R "$project"/{CMakeLists.txt,pyproject.toml,README.md,LICENSE,csrc,src} project
options=(MLX_ROOT="$site/mlx" SCIPY_OPENBLAS="$(ls "$site"/scipy_openblas32/lib/libscipy_openblas.so)"
  Python_NumPy_INCLUDE_DIR="$site/numpy/_core/include" GEMMSCOPE_MLX=ON GEMMSCOPE_WERROR=ON)
PATH=$work/build/bin:$PATH CMAKE_TOOLCHAIN_FILE=$here/toolchain.cmake _PYTHON_HOST_PLATFORM=linux-aarch64 \
  SETUPTOOLS_EXT_SUFFIX=.cpython-311-aarch64-linux-gnu.so build/bin/python -m build --wheel --no-isolation \
  --skip-dependency-check -o built -Cbuild-dir="$work/objects" "${options[@]/#/-Ccmake.define.}" \
  project > build.log 2>&1 || { cat build.log; exit 1; }
python3 -m zipfile -e built/*linux_aarch64.whl "$site"

step "it runs"
venv/bin/python -c 'import platform; from gemmscope import native; import numpy as np
a = np.eye(3, dtype=np.float32)
assert platform.machine() == "aarch64" and (native.sgemm(a, a) == a).all()'
