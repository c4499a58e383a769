#!/bin/sh
# What a wheel for Linux is built with, inside of cibuildwheel's container.
#
# MLX's wheels ask for glibc 2.35, and the newest manylinux image for x86-64 has 2.34: pip would refuse them there. They
# are needed to link with, and not to run, so they are unpacked beside, by the name of their platform.
set -eu
project=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
mlx=$(sed -n 's/.*"mlx==\([0-9.]*\); sys_platform == .darwin.*/\1/p' "$project/pyproject.toml")
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
pip install -q 'cmake>=3.21' ninja 'scikit-build-core>=1.0,<2' 'nanobind>=3.1,<4' 'numpy>=2.0' 'scipy-openblas32>=0.3.30'
rm -rf /tmp/mlx-to-link-with
pip install -q --target /tmp/mlx-to-link-with --no-deps --only-binary=:all: --python-version "$version" \
  --implementation cp --platform manylinux_2_35_x86_64 "mlx==$mlx" "mlx-cpu==$mlx"
