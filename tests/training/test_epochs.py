"""Every window once an epoch, on any number of ranks, and the ranks take the same steps."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import epoch_batches, n_steps, prefetched
from pipeline.training.data.window_set import ActiveStarts
from pipeline.training.data.windows import load_windows

SPEC = LogMelSpec(n_mels=3)


def window_set(lengths: list[int]):
    """A set whose clip k has the value k, less in the last band where k is odd."""
    rows = [
        {
            "segment_id": f"s{k}",
            "matrix": np.array([[k], [k], [k - 30 * (k % 2)]], "<f2").repeat(n, axis=1).tobytes(),
            "classes": ["a"] if k % 2 else ["b", "a"],
        }
        for k, n in enumerate(lengths)
    ]
    schema = pa.schema(
        [
            ("segment_id", pa.string()),
            ("matrix", pa.large_binary()),
            ("classes", pa.list_(pa.string())),
        ]
    )
    table = pa.Table.from_pylist(rows, schema)
    return load_windows(
        [table], codes=["a", "b"], windows=WindowSpec(), input_spec=LogMelInput(SPEC)
    )


def test_targets_and_windows_of_a_clip():
    data = window_set([862, 50])
    assert data.targets.tolist() == [[1, 1], [1, 0]]
    assert data.clip_windows(0).shape == (10, 3, 87)
    short = data.clip_windows(1)
    assert short.shape == (1, 3, 87)
    assert (short[:, :2, :50] == 1).all()
    assert (short[:, :, 50:] == SPEC.floor_db).all()


@settings(max_examples=40, deadline=None)
@given(
    n_clips=st.integers(1, 30),
    batch_size=st.integers(1, 9),
    n_ranks=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_every_window_once_and_ranks_in_step(n_clips, batch_size, n_ranks, epoch):
    data = window_set([200] * n_clips)
    per_rank = [
        list(
            epoch_batches(
                data, epoch=epoch, seed=7, batch_size=batch_size, rank=rank, n_ranks=n_ranks
            )
        )
        for rank in range(n_ranks)
    ]
    steps = n_steps(data, TrainConfig(batch_size=batch_size), n_ranks)
    assert {len(batches) for batches in per_rank} == {steps}
    seen = [
        int(window[0, 0])
        for batches in per_rank
        for batch in batches
        for window, weight in zip(batch.windows, batch.weights, strict=True)
        if weight
    ]
    assert sorted(seen) == sorted(data.clip_of.tolist())
    for step in zip(*per_rank, strict=True):
        assert {batch.n_global for batch in step} == {sum(int(b.weights.sum()) for b in step)}
        assert all(2 <= len(batch.windows) <= max(2, batch_size) for batch in step)


def test_the_order_depends_on_seed_and_epoch_only():
    data = window_set([862] * 5)

    def order(epoch, seed):
        batches = epoch_batches(data, epoch=epoch, seed=seed, batch_size=50, rank=0, n_ranks=1)
        return next(batches).windows[:, 0, 0].tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(1, 0) != order(1, 1)


def test_prefetched_keeps_order_and_raises():
    assert list(prefetched(iter(range(5)))) == [0, 1, 2, 3, 4]

    def broken():
        yield 1
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        list(prefetched(broken()))


def test_margins_are_what_stands_beside_the_window():
    data = replace(window_set([862]), margins=(3, 2))
    ramp = np.arange(862, dtype="<f2")
    data = replace(data, matrices=[np.stack([ramp] * 3)])
    inner = data.windows(np.array([1]))[0, 0]
    assert inner.tolist() == list(range(86 - 3, 86 + 87 + 2))
    first = data.windows(np.array([0]))[0, 0]
    assert first.tolist() == [SPEC.floor_db] * 3 + list(range(87 + 2))


def test_a_window_moves_by_two_fifths_of_its_length_at_most():
    data = window_set([87 * 40])
    moved = set()
    data = replace(data, matrices=[np.arange(87 * 40, dtype="<f4")[np.newaxis].repeat(3, axis=0)])
    for epoch in range(20):
        for batch in epoch_batches(
            data, epoch=epoch, seed=0, batch_size=64, rank=0, n_ranks=1, jitter=True
        ):
            moved |= {start - round(start / 86.13) * 86.13 for start in batch.windows[:, 0, 0]}
    assert 30 < max(map(abs, moved)) <= 0.4 * 87 + 1


@pytest.mark.parametrize("margins", [(0, 0), (3, 2)])
@pytest.mark.parametrize("n_columns", [87, 60, 110])
def test_a_window_that_fills_its_clip_is_rotated(n_columns, margins):
    """As the samples of a window are: -40 to 40 % of it, nothing lost, silence behind it too."""
    ramp = np.arange(1, n_columns + 1, dtype="<f4")[np.newaxis].repeat(3, axis=0)
    data = replace(window_set([n_columns] * 4), matrices=[ramp] * 4, margins=margins)
    still = data.clip_windows(0)[0, 0, margins[0] :][:87]
    shifts = set()
    for epoch in range(60):
        for batch in epoch_batches(
            data, epoch=epoch, seed=0, batch_size=8, rank=0, n_ranks=1, jitter=True
        ):
            for window in batch.windows[:, 0]:
                inner = window[margins[0] :][:87]
                shift = int(np.flatnonzero(inner == 1)[0])
                np.testing.assert_array_equal(inner, np.roll(still, shift))
                assert (window[: margins[0]] == SPEC.floor_db).all()
                shifts.add(shift if shift <= 43 else shift - 87)
    assert -35 <= min(shifts) < -30
    assert 30 < max(shifts) <= 35
    assert len(shifts) > 60


def test_a_window_does_not_move_into_silence():
    """It stays where it is; where there is sound it moves."""
    data = window_set([870])
    starts = np.arange(0, 784, 17)
    data = replace(
        data,
        matrices=[np.arange(870, dtype="<f4")[np.newaxis].repeat(3, axis=0)],
        active=[ActiveStarts(starts, starts < 430)],
    )
    moved = data.windows(np.array([3, 3, 5, 5]), np.array([30, -30, 30, -30]))[:, 0, 0]
    own = data.start_of[[3, 5]]
    assert moved.tolist() == [own[0] + 30, own[0] - 30, own[1], own[1] - 30]
