#!/usr/bin/env bash
# Cross-compiles gemmscope's macOS branch on Linux, verifies what it built, and executes the core's machine code in an
# emulator, whose imports are answered by Python. None of it is run on macOS: see README.md.
# usage: ci/macos/check.sh [FOLDER]     FOLDER, a temporary one unless named, must not exist; it is kept if named
# needs: clang, lld and llvm 22 (installed by apt where this runs as root), Python's headers and venv, a package index
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
llvm=22
if [ $# -gt 0 ]; then
  mkdir "$1"
  work=$(cd "$1" && pwd)
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
cd "$work"
step() { printf -- '-- %s (%s s)\n' "$1" "$SECONDS"; }

step "tools"
# clang 19 and older cannot read the libc++ headers; LLVM's own archive has newer ones for every Debian and Ubuntu.
if [ ! -x "/usr/lib/llvm-$llvm/bin/clang++" ] || [ ! -x "/usr/lib/llvm-$llvm/bin/ld64.lld" ]; then
  # Lists of packages may be missing, as in a fresh container, or name versions that are gone.
  if [ "$(id -u)" != 0 ] || ! apt-get update -q || ! apt-get install -y -q "clang-$llvm" "lld-$llvm" "llvm-$llvm"; then
    echo "install clang-$llvm, lld-$llvm and llvm-$llvm, and run this again" >&2
    exit 1
  fi
fi
export LLVM_BIN=/usr/lib/llvm-$llvm/bin
python3 -m venv venv
. venv/bin/activate
export PIP_DISABLE_PIP_VERSION_CHECK=1
pip install -q cmake==4.4.4 ninja build scikit-build-core==1.1.2 nanobind==3.1.0 lief==1.0.0
pip install -q -c "$project/constraints.txt" capstone numpy pytest unicorn==2.1.4 # for emulated/
pip download -q --no-deps -d wheels ziglang==0.17.1

step "wheels of macOS"
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
mlx=$(sed -nE 's/.*"mlx==([0-9.]+); sys_platform == .darwin.*/\1/p' "$project/pyproject.toml")
# scipy, contourpy and lief are here for what they import from libc++.
pip install -q --target site --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
  --platform macosx_14_0_arm64 "mlx==$mlx" "mlx-metal==$mlx" numpy scipy contourpy lief

step "a stand-in SDK"
export MACOS_SDK=$work/sdk
python "$here/sdk.py" "$MACOS_SDK" wheels/ziglang*.whl site "$LLVM_BIN"

step "the project's own build, for macOS"
mkdir project
cp -R "$project"/{CMakeLists.txt,pyproject.toml,README.md,LICENSE,csrc,src} project
export CMAKE_TOOLCHAIN_FILE=$here/toolchain.cmake SETUPTOOLS_EXT_SUFFIX=.cpython-${version/./}-darwin.so
export CXXFLAGS=-g # where each line's code lies, for emulated/reach.py; changes no instruction
_PYTHON_HOST_PLATFORM=macosx-14.0-arm64 python -m build --wheel --no-isolation --skip-dependency-check -o built \
  -Cbuild-dir="$work/build" -Ccmake.define.MLX_ROOT="$work/site/mlx" -Ccmake.define.GEMMSCOPE_MLX=ON \
  -Ccmake.define.Python_NumPy_INCLUDE_DIR="$work/site/numpy/_core/include" \
  -Ccmake.define.GEMMSCOPE_WERROR=ON project > build.log 2>&1 || { cat build.log; exit 1; }

step "load commands and imports"
python -m zipfile -e built/*macosx_14_0_arm64.whl site
modules=$(sed -nE 's/^ *nanobind_add_module\(([a-z_]+) .*/\1/p' project/CMakeLists.txt)
for module in $modules; do
  python "$here/verify.py" "site/gemmscope/$module$SETUPTOOLS_EXT_SUFFIX" site "$MACOS_SDK"
done

step "names that are looked up at run time"
python "$here/lookups.py" project "$MACOS_SDK"

step "the core's machine code, executed in an emulator"
python "$here/emulated/execute.py" "$work"

step "faults that compile are noticed when they are executed"
python "$here/emulated/porting_faults.py" "$work"

step "what must fail, fails"
python "$here/controls.py" "$work"

step "done: $(echo "$modules" | wc -w) extensions built and verified for macOS on arm64, their core emulated; never run on macOS"
