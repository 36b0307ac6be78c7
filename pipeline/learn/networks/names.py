"""The names of networks that must be known before torch is imported."""

from __future__ import annotations

CLASSICAL_NAMES = ("svm", "random-forest", "mlp", "knn")
"""The classical models, in the order of `networks.classical.CLASSICAL`."""
