"""Windows: where they begin, the tail, short clips, and that a cut equals the same second alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.audio.spectra.windows import (
    JoinedWindows,
    MatrixWindows,
    WindowSpec,
    cut_windows,
    window_starts,
)
from pipeline.errors import UsageError

SPEC = LogMelSpec()
HEARD = LogMelInput(SPEC)


def test_ten_seconds_are_ten_windows_of_87_frames():
    starts = window_starts(862, WindowSpec(), HEARD)
    assert WindowSpec().n_frames(HEARD) == 87
    assert starts.tolist() == [0, 86, 172, 258, 345, 431, 517, 603, 689, 775]


@pytest.mark.parametrize(("n_frames", "n_windows"), [(1, 1), (87, 1), (130, 1), (131, 2), (173, 2)])
def test_the_tail_is_heard_when_more_than_half_a_window(n_frames, n_windows):
    starts = window_starts(n_frames, WindowSpec(), HEARD)
    assert len(starts) == n_windows
    if n_windows == 2:
        assert starts[-1] == n_frames - 87


@given(
    n_frames=st.integers(1, 5000),
    window_s=st.floats(0.2, 5),
    hop_share=st.floats(0.1, 1.0),
)
def test_windows_lie_inside_and_leave_less_than_half_a_window(n_frames, window_s, hop_share):
    windows = WindowSpec(window_s, window_s * hop_share)
    length = windows.n_frames(HEARD)
    starts = window_starts(n_frames, windows, HEARD)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    if n_frames >= length:
        assert 0 <= n_frames - (starts[-1] + length) <= length / 2


def test_a_short_clip_is_filled_with_silence():
    cut = cut_windows(np.zeros((4, 3)), np.zeros(1, np.int64), 5, silence=-100)
    assert cut.shape == (1, 4, 5)
    assert (cut[:, :, 3:] == -100).all()
    assert (cut[:, :, :3] == 0).all()


def test_a_window_of_a_track_is_what_that_second_alone_gives_but_at_its_edges(rng):
    samples = (rng.standard_normal(5 * 44_100) * 0.1).astype(np.float32)
    track = log_mel(samples, SPEC)
    start = 172  # frames; frame k is centred at sample k * hop
    cut = cut_windows(track, np.array([start]), 87, silence=SPEC.floor_db)[0]
    alone = log_mel(samples[start * 512 : start * 512 + 44_100], SPEC)
    np.testing.assert_allclose(cut[:, 2:-2], alone[:, 2:-2], atol=1e-3)


@pytest.mark.parametrize(("window_s", "hop_s"), [(0, 1), (1, 0), (-1, 1)])
def test_a_window_has_a_length(window_s, hop_s):
    with pytest.raises(UsageError):
        WindowSpec(window_s, hop_s)


@given(
    n_windows=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    first=st.integers(0, 30),
    n=st.integers(0, 30),
)
def test_windows_of_several_tracks_are_those_of_each(n_windows, first, n):
    rng = np.random.default_rng(0)
    tracks = [
        MatrixWindows(rng.random((3, 40), np.float32), np.arange(k) * 7, 10, 0.0) for k in n_windows
    ]
    joined = JoinedWindows(tracks)
    assert len(joined) == sum(n_windows)
    whole = np.concatenate([track[:] for track in tracks])
    np.testing.assert_array_equal(joined[first : first + n], whole[first : first + n])
    assert joined[first : first + n].shape[1:] == (3, 10)
