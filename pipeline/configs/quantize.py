"""What a quantisation is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.flags import Count, Flag, Uri, described, share

Scored = Literal["val", "test"]


@described
@dataclass(frozen=True)
class QuantizeConfig(ClusterConfig):
    """What to make int8, with what, to where."""

    model: Uri
    """The model's folder, from train."""
    dataset: Uri
    """A dataset's folder: its training split calibrates, another is scored."""
    out: Uri
    """The folder for the int8 model."""
    n_windows: Count = 300
    """Windows of the training split to calibrate with."""
    split: Scored = "val"
    """The split to score on."""
    max_drop: Annotated[float, Flag("X", share)] = 0.01
    """Exit with 3 when int8 costs more macro F1 than this."""
    seed: Count = 0
    """Seed of the draw of windows."""

    def __post_init__(self) -> None:
        if self.split not in get_args(Scored):
            raise UsageError(f"--split {self.split!r}: expected val or test")
        if self.n_windows < 1:
            raise UsageError(f"--n-windows {self.n_windows}: expected more than 0")
