"""Whether MLX's kernels for neural accelerators can be in use, by architecture, wheel and system."""

from __future__ import annotations

import pytest

from gemmscope.backends.mlx import has_nax

NEW, OLD = ["cp312-cp312-macosx_26_0_arm64"], ["cp312-cp312-macosx_14_0_arm64"]


@pytest.mark.parametrize(
    ("architecture", "tags", "macos", "expected"),
    [
        ("applegpu_g17s", NEW, "26.2", True),
        ("applegpu_g18p", NEW, "27.0", True),
        ("applegpu_g17p", NEW, "26.2", False),  # a phone's
        ("applegpu_g16s", NEW, "26.2", False),
        ("applegpu_g17s", NEW, "26.1", False),
        ("applegpu_g17s", OLD, "26.2", False),
        ("applegpu_g17s", [], "26.2", False),
        ("applegpu_g17s", NEW, "", False),
        ("sm_90", NEW, "26.2", False),
    ],
)
def test_nax(architecture, tags, macos, expected):
    assert has_nax(architecture, tags, macos) is expected
