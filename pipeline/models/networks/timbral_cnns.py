"""Four convolutional networks on samples that regress the timbral descriptors of one-shot sounds.

The project's notes on a regressor of timbral descriptors give four networks by their depth and
their number of parameters, for windows of 1 s at 16 kHz and seven targets: 1-D convolutions with
kernels of 7, each followed by max-pooling by 2, then dense layers. The widths were found by a
search for layouts that have those numbers exactly:

- `timbral-small`, 130,697: one convolution of 7 filters with a stride of 3, and the output.
- `timbral-mid`, 283,623: convolutions of 50 and 10 filters, a dense layer of 7 units, the output.
- `timbral-7-filters`, 348,063: five convolutions of 7 filters, a dense layer of 100, the output.
  The notes speak of three dense layers; no round widths of three give the number, and two do.
- `timbral-big`, 2,122,371: convolutions of 150, 80, 64, 40 and 20 filters, a dense layer of 200,
  the output. Other layouts have that number, too, and the notes leave the widths open. Of those
  with round widths that fall, this one has one hidden dense layer, as the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from pipeline.audio.spectra.front_ends.one_shot import OneShotInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.models.networks.entry import Entry
from pipeline.models.networks.parts.layers import WithHead

KERNEL, POOL = 7, 2
RATE_HZ, WINDOW_S = 16_000, 1.0


class TimbralCnn(WithHead):
    """Convolutions without padding, each with ReLU and max-pooling by 2, then dense layers.

    Parameters
    ----------
    filters
        Filters of each convolution.
    dense
        Units of each hidden dense layer, which has a ReLU.
    stride
        Of the first convolution, in samples; the others have 1.
    n_classes
        Width of the last layer: a value for each target.
    n_samples
        Samples of a window.
    dropout
        Before the last layer; the notes have none.
    """

    def __init__(
        self,
        *,
        filters: Sequence[int],
        dense: Sequence[int],
        stride: int,
        n_classes: int,
        n_samples: int,
        dropout: float,
    ) -> None:
        super().__init__()
        strides = [stride, *[1] * (len(filters) - 1)]
        self.features = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(*sizes, KERNEL, stride=by), nn.ReLU(), nn.MaxPool1d(POOL))
                for sizes, by in zip(pairwise([1, *filters]), strides, strict=True)
            ),
            nn.Flatten(),
        )
        widths = [filters[-1] * n_steps(n_samples, strides), *dense]
        self.dense = nn.Sequential(
            *(nn.Sequential(nn.Linear(*sizes), nn.ReLU()) for sizes in pairwise(widths))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the values of the last layer, `[n, n_classes]`, for samples, `[n, 1, n_samples]`.

        They are as they are: no function follows.
        """
        values: Tensor = self.head(self.dropout(self.dense(self.features(windows))))
        return values


def n_steps(n_samples: int, strides: Sequence[int]) -> int:
    """Return the steps that are left of a window after convolutions of some strides and the pools.

    >>> n_steps(16_000, [3]), n_steps(16_000, [1, 1]), n_steps(16_000, [1] * 5)
    (2666, 3995, 494)
    """
    for stride in strides:
        n_samples = ((n_samples - KERNEL) // stride + 1) // POOL
    return n_samples


def one_shots(spec: LogMelSpec) -> InputSpec:
    """Return samples at 16 kHz, each window at the same level, filled up to 1 s by soft noise."""
    return OneShotInput(RATE_HZ, "window", WINDOW_S)


def _build(
    n_classes: int,
    shape: tuple[int, int],
    dropout: float,
    *,
    filters: Sequence[int],
    dense: Sequence[int],
    stride: int = 1,
) -> nn.Module:
    return TimbralCnn(
        filters=filters,
        dense=dense,
        stride=stride,
        n_classes=n_classes,
        n_samples=shape[1],
        dropout=dropout,
    )


_BUILDS = {
    "timbral-small": (partial(_build, filters=(7,), dense=(), stride=3), 10),
    "timbral-mid": (partial(_build, filters=(50, 10), dense=(7,)), 22),
    "timbral-7-filters": (partial(_build, filters=(7,) * 5, dense=(100,)), 218),
    "timbral-big": (partial(_build, filters=(150, 80, 64, 40, 20), dense=(200,)), 218),
}
"""By name: what builds a network, and the fewest samples of which its pools leave a step."""

NETWORKS = tuple(
    Entry(
        name,
        build,
        takes="samples",
        smallest=(1, least_samples),
        n_rows=1,
        front_end=one_shots,
    )
    for name, (build, least_samples) in _BUILDS.items()
)
