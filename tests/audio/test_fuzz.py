"""Mutated files of every format: audio or a typed fault, in time, and nothing left open.

They are decoded in a guarded process, so that a crash is found and told with what caused it.
`TIMBRE_FUZZ` is how many inputs are tried a format.
"""

import base64
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.guard import Guard
from pipeline.errors import DecodeError, Reason
from tests.audio.test_decode import BY_SNDFILE, LOSSY, encoded, sweep

pytestmark = pytest.mark.slow

N_INPUTS = int(os.environ.get("TIMBRE_FUZZ", "300"))  # 1450 by hand: 10,150 in all
SLOWEST_S = 60.0  # what is good takes milliseconds, of a machine that is not loaded
FINE = (
    Reason.NOT_AUDIO,
    Reason.EMPTY,
    Reason.UNDECODABLE,
    Reason.INCOMPLETE,
    Reason.TOO_LONG,
    Reason.UNREADABLE,
)

edits = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=12)
"""Most of what is decided by bytes stands in the first few hundred."""
cuts = st.one_of(st.none(), st.integers(0, 3000))
shifts = st.one_of(st.none(), st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=16)))


def mutated(data: bytes, edits, cut, shift) -> bytes:
    out = bytearray(data[:cut] if cut is not None else data)
    if shift is not None:
        out[shift[0] : shift[0]] = shift[1]
    for at, value in edits:
        if at < len(out):
            out[at] = value
    return bytes(out)


def attempt(data: bytes) -> tuple[str, int]:
    """Decode; return what came of it, and the process's open files."""
    try:
        samples = decode(data, sample_rate_hz=16_000, max_duration_s=60)
        assert np.isfinite(samples).all()
        said = "audio"
    except DecodeError as error:
        said = error.reason
    return said, len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("suffix", [*BY_SNDFILE, *LOSSY])
def test_mutated_files_are_audio_or_a_fault(suffix):
    data = encoded(sweep(0.3, 16_000 if suffix != "m4a" else 44_100), suffix, 16_000)
    said: dict[str, int] = {}
    with Guard(timeout_s=SLOWEST_S) as guard:
        n_open = guard(attempt, data)[1]

        @settings(
            max_examples=N_INPUTS,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(edits, cuts, shifts)
        def run(edits, cut, shift):
            broken = mutated(data, edits, cut, shift)
            try:
                outcome, n_now = guard(attempt, broken)
            except DecodeError as error:  # crashed or too slow
                shown = base64.b64encode(broken).decode()
                pytest.fail(f"{suffix}: {error} of {len(broken)} bytes: {shown}")
            assert outcome == "audio" or outcome in FINE
            assert n_now <= n_open
            said[outcome] = said.get(outcome, 0) + 1

        run()
    assert sum(said.values()) >= 0.9 * N_INPUTS
    assert len(said) > 1, f"mutations change nothing: {said}"
