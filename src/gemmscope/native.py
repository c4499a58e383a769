"""Float32 matrix products by the linked BLAS, called directly: Accelerate on macOS, OpenBLAS elsewhere.

For authors of extensions who want to see what a C++ entry costs::

    >>> import numpy as np
    >>> from gemmscope import native
    >>> a = np.ones((2, 3), np.float32)
    >>> b = np.ones((3, 4), np.float32)
    >>> native.sgemm(a, b)[0, 0]
    np.float32(3.0)
"""

from gemmscope._native import Plan, sgemm

__all__ = ["Plan", "sgemm"]
