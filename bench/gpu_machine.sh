#!/bin/bash
# The whole comparison on an NVIDIA machine without a package index: builds from the working tree, measures, and runs the
# tests that need a GPU, in under ten minutes. Each step has a time limit of its own and, but for the
# build, costs no other.
#
#   bench/gpu_machine.sh OUTDIR [STEP...]
#
# Steps are measure, profiler, tests, clocks and contract, all unless told; environment and build come first in any case.
# GEMMSCOPE_SECONDS is the run's time budget, GEMMSCOPE_LAST the second from which on nothing runs any more.
#
# Python 3.11 or later with torch, mlx and one of mlx-cuda-12 and -13, and gemmscope's other needs (pyproject.toml), a C++
# compiler, cmake and ninja must be there; JAX and CuPy, if they are, are measured too. OUTDIR holds eight files at most when it is done, and no folders.
set -uo pipefail
[ $# -ge 1 ] || { echo "usage: $0 OUTDIR [STEP...]" >&2; exit 2; }
out=$1
shift
steps=" ${*:-measure profiler tests clocks contract} "
for one in $steps; do
  case $one in
    measure | profiler | tests | clocks | contract) ;;
    *) echo "$0: there is no step $one" >&2; exit 2 ;;
  esac
done
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
tree=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Seconds from the start at which no step may still run.
last=${GEMMSCOPE_LAST:-580}
budget=${GEMMSCOPE_SECONDS:-400}

wanted() {
  [[ "$steps" == *" $1 "* ]]
}

# step NAME SECONDS COMMAND...: runs a command, at most so long, and says how it ended.
step() {
  local name=$1 limit=$2 left=$((last - SECONDS)) begun=$SECONDS status
  shift 2
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -lt 5 ]; then
    echo "== $name ended with 124 before it began: no time was left for it"
    return 124
  fi
  echo "== $name (at $SECONDS s, at most $limit s)"
  timeout --kill-after=5 "$limit" "$@"
  status=$?
  echo "== $name ended with $status after $((SECONDS - begun)) s"
  return "$status"
}

environment() {
  nvidia-smi
  python3 --version
  cmake --version | head -n 1
  c++ --version | head -n 1
  python3 -m pip list 2>/dev/null |
    grep -iE '^(altair|click|cmake|cupy|hypothesis|jax|jsonschema|mlx|msgspec|nanobind|ninja|numpy|nvidia|psutil|pytest|rich|scikit|scipy|torch|triton|vl-convert)'
  python3 -c 'import mlx.core as mx; print("mlx", mx.__version__, mx.default_device(), mx.device_info(mx.gpu))'
  python3 -c 'import torch; print("torch", torch.__version__, torch.version.cuda, torch.cuda.get_device_name())'
}

build() {
  cd "$work" && python3 -m pip install --no-build-isolation --no-deps --no-index --force-reinstall "$tree" &&
    python3 -c 'from gemmscope import _build, _kernels, _native
print("built against MLX", _build.MLX_VERSION or "not at all")' &&
    python3 -c 'import mlx.core, gemmscope._native_mlx as n; print("the MLX extension runs on libmlx", n.version())'
}

# Of a run with all backends half the time went to preparing them, and two sets fitted in. So of the processor's there is
# the baseline alone, and JAX looks up in a cache which kernels its first process has found to be fastest: the next ones
# would each try them again. Nothing is tried as a remedy.
measure() {
  export JAX_COMPILATION_CACHE_DIR="$work/jax" JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
  export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
  cd "$work" && gemmscope run --sizes 256,1024,4096,8192 --pairs 2 --seconds "$budget" --experiments 0 \
    --out "$work/run" --backends "$(
    IFS=,
    backends=(numpy-cpu torch-gpu mlx-gpu mlx-cpp-gpu cublas cupy-gpu jax-gpu torch-gpu:tf32 cublas:tf32
      torch-gpu:from-host=pinned)
    echo "${backends[*]}"
  )"
}

# Away from the tree, so that what is imported is what was installed; in one process, since there is one GPU.
tests() {
  cd "$work" && GEMMSCOPE_NEEDS_GPU=1 python3 -m pytest -q --tb=short -o addopts= -p no:cacheprovider "$tree/tests/backends/test_gpu.py"
}

clocks() {
  cd "$work" && python3 "$tree/bench/gpu_clocks.py"
}

# What another process sees of the same calls.
profiler() {
  cd "$work" && python3 "$tree/bench/gpu_profiler.py" "$out/results.json"
}

# The contract of every backend on a GPU. A process for each library: two frameworks in one are another thing to test.
contract() {
  local status=0 name
  cd "$work" || return
  for name in torch-gpu mlx-gpu mlx-cpp-gpu cublas jax cupy; do
    MLX_ENABLE_TF32=0 CUPY_TF32=0 XLA_PYTHON_CLIENT_PREALLOCATE=false timeout 40 python3 -m pytest -q --tb=short -o addopts= -p no:cacheprovider --timeout 30 -k "$name" \
      "$tree/tests/backends/test_contract.py" || status=$?
  done
  return "$status"
}

export PYTHONUNBUFFERED=1
export -f environment build measure tests clocks profiler contract
export tree work out budget
step environment 60 bash -c environment 2>&1 | tee "$out/environment.txt"
step build 150 bash -c build 2>&1 | tee "$out/build.txt"
[ "${PIPESTATUS[0]}" -eq 0 ] || { echo "$0: gemmscope could not be built, so nothing else can run" >&2; exit 1; }
wanted measure && step measure $((budget + 30)) bash -c measure 2>&1 | tee "$out/measure.txt"
# What was measured is brought home before anything else can go wrong.
if [ -f "$work/run/results.json" ]; then
  cp "$work/run/results.json" "$out/"
elif [ -f "$work/run/journal.jsonl" ]; then
  gzip -c "$work/run/journal.jsonl" >"$out/journal.jsonl.gz"
fi
[ -f "$work/run/report.html" ] && cp "$work/run/report.html" "$out/"
[ -d "$work/run/figures" ] && tar -C "$work/run" -czf "$out/figures.tar.gz" figures
if wanted measure; then
  step explain 20 gemmscope explain "$work/run" >"$out/explain.txt" 2>&1
  cat "$out/explain.txt"
fi
{
  # What is compared with the run comes first.
  wanted profiler && step profiler 90 bash -c profiler
  wanted tests && step tests 240 bash -c tests
  wanted clocks && step clocks 90 bash -c clocks
  wanted contract && step contract 100 bash -c contract
} 2>&1 | tee "$out/tests.txt"
if [ -f "$out/results.json" ] && [ "$(wc -c <"$out/results.json")" -gt 15000000 ]; then
  gzip "$out/results.json"
fi
ls -la "$out"
grep -h '^== .* ended with' "$out"/*.txt
# Every step but the last ran in a pipe, whose list of failures ended with it.
! grep -hq '^== .* ended with [^0]' "$out"/*.txt && { ! wanted measure || compgen -G "$out/results.json*" >/dev/null; }
