"""The types of NumPy arrays, one name each: what a signature says of its values. PURE.

Shapes stand in docstrings, as `[n_windows, n_classes]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float16 = npt.NDArray[np.float16]
"""Embeddings, as they are stored."""
Float32 = npt.NDArray[np.float32]
"""Samples, spectra, windows and a network's scores."""
Float64 = npt.NDArray[np.float64]
"""Statistics: what is summed over many items."""
Floats = npt.NDArray[np.floating[Any]]
"""Floating point of either width."""
Int64 = npt.NDArray[np.int64]
"""Indices, counts and positions, as 64-bit integers."""
Bools = npt.NDArray[np.bool_]
"""Truth by class, and masks of rows or windows."""
Hashes = npt.NDArray[np.uint64]
"""64-bit hashes, `[n]`; of contents `[n, 2]`."""
