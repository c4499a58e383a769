"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A deadline asserts a time, and a busy machine misses it.
settings.register_profile("gemmscope", deadline=None)
settings.load_profile("gemmscope")
