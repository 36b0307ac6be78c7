"""Blocks of a track's samples in; a few excerpts that stand for the track out. PURE.

To describe all of a long track would take minutes, and most of it says the same again. So a track
is cut into pieces of 5 s, and of the pieces that are active up to three are taken: from the middle
of the first, the second and the last third of them. How long a track is becomes known at its end
only, so meanwhile every piece is kept, later every second, every fourth ...: 16 at most, 14 MB.
"""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.spectra.activity import Activity, active_windows

N_EXCERPTS = 3
"""Excerpts of a track, at most."""
EXCERPT_S = 5.0
"""Length of an excerpt in s; that of a shorter track is as long as it is."""
RATE_HZ = 44_100
"""Rate of the excerpts: what a model's front end has is too low for some models to be bright."""
OF_TRACK = (
    f"up to {N_EXCERPTS} excerpts of {EXCERPT_S:g} s, spread over what is active of the track; "
    "mean of their values, weighted by their length"
)
"""What an attribute of a track is computed of, in words."""
_MOST_KEPT = 16


class ExcerptPicker:
    """Takes a track's samples as they come, and keeps what excerpts may be chosen from."""

    def __init__(self, activity: Activity | None, *, sample_rate_hz: int = RATE_HZ) -> None:
        """Prepare for one track.

        Parameters
        ----------
        activity
            Which pieces are silence or noise, and not taken; None: all are taken.
        sample_rate_hz
            Rate of the samples.
        """
        self._activity, self._rate_hz = activity, sample_rate_hz
        self._n_samples = round(EXCERPT_S * sample_rate_hz)
        self._waiting: list[Float32] = []
        self._kept: list[Float32] = []
        self._n_active, self._step = 0, 1

    def add(self, block: Float32) -> None:
        """Take the next samples, `[n]`."""
        self._waiting.append(block)
        if sum(map(len, self._waiting)) < self._n_samples:
            return
        samples = np.concatenate(self._waiting)
        n_pieces = len(samples) // self._n_samples
        *pieces, rest = np.split(samples, self._n_samples * np.arange(1, n_pieces + 1))
        for piece in pieces:
            self._offer(piece)
        self._waiting = [rest.copy()]

    def ended(self) -> list[Float32]:
        """Return the excerpts in their order, `[n_samples]` each; the track has had its last block.

        What is left at its end counts as a piece where it is at least half as long as one, and
        where there is no other. A track without an active piece has no excerpt.
        """
        rest = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        if 2 * len(rest) >= self._n_samples or not self._kept:
            self._offer(rest)
        n = min(N_EXCERPTS, len(self._kept))
        return [self._kept[(2 * k + 1) * len(self._kept) // (2 * n)] for k in range(n)]

    def _offer(self, piece: Float32) -> None:
        """Keep a piece where it is active and its turn has come."""
        if not self._is_active(piece):
            return
        if self._n_active % self._step == 0:
            self._kept.append(piece.copy())
        self._n_active += 1
        if len(self._kept) == _MOST_KEPT:
            self._kept, self._step = self._kept[::2], 2 * self._step

    def _is_active(self, piece: Float32) -> bool:
        if not len(piece) or self._activity is None:
            return len(piece) > 0
        starts, rate_hz = np.zeros(1, np.int64), self._rate_hz
        found = active_windows(
            piece, starts, len(piece), sample_rate_hz=rate_hz, rule=self._activity
        )
        return bool(found[0])
