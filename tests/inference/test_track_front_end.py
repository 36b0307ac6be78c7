"""Blocks of samples in, a track's matrix and windows out: those of the whole, however it comes."""

import subprocess
import sys

import numpy as np
import pytest

from pipeline.audio.description.analysis import FrameSpec
from pipeline.audio.description.noise_gate import NoiseProfile
from pipeline.audio.description.prepare import parse_steps
from pipeline.audio.spectra.activity import Activity, active_windows
from pipeline.audio.spectra.front_ends.cqt import CqtInput
from pipeline.audio.spectra.front_ends.prepared import PreparedInput
from pipeline.audio.spectra.input_kinds import FeatureInput, LogMelInput, SamplesInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.stacked import StackedInput
from pipeline.audio.spectra.windows import MatrixWindows, WindowSpec, cut_windows, window_starts
from pipeline.inference.track_front_end import TrackFrontEnd, TrackStretches
from tests.front_ends import CED, INPUTS, YAMNET


def noise_profile(_):
    noise = np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    return NoiseProfile.of(0.1 * noise, 16_000)


LOG_MEL = LogMelInput(LogMelSpec(sample_rate_hz=16_000, n_fft=1024, hop=256, n_mels=48))
ODD_LOG_MEL = LogMelInput(LogMelSpec(sample_rate_hz=16_000, n_fft=1000, hop=311, n_mels=32))
FRONT_ENDS = {
    "log-mel": LOG_MEL,
    "log-mel without the fused kernel": ODD_LOG_MEL,
    **INPUTS,
    "samples": SamplesInput(sample_rate_hz=16_000),
    "mfcc": FeatureInput("mfcc", FrameSpec(sample_rate_hz=16_000, n_fft=1024, hop=512)),
    "cqt": CqtInput(16_000, 256),
    "chroma": FeatureInput("chroma_stft", FrameSpec(16_000, 1024, 256), "window"),
    "prepared": PreparedInput(LOG_MEL, parse_steps("lowpass:3000,denoise:noise", noise_profile)),
    "stacked": StackedInput((CED, YAMNET)),
}
NEAR = {
    "K": (-np.inf, 4e-3),  # its samples are rounded anew without another mean
    "log-mel without the fused kernel": (-np.inf, 2**-4),  # dB, a step of float16 at -100
    "cqt": (-70.0, 0.07),  # dB; librosa's resampling rounds otherwise, 110 dB below the loudest
    "chroma": (-np.inf, 1e-6),
    "prepared": (-90.0, 0.07),  # dB; the low-pass has no end, and rounds otherwise
}
"""By front end, the least value that must be the same, and how near."""


def music(seconds, rate_hz, seed=0):
    """Return notes with pauses, and a stretch of noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    notes = np.sin(2 * np.pi * (220 + 60 * (times // 1.7)) * times) * (times % 5 < 3.5)
    noise = rng.standard_normal(len(times)) * ((times > 9) & (times < 14))
    return (0.3 * notes + 0.1 * noise).astype(np.float32)


def in_blocks(samples, rng, longest):
    at = 0
    while at < len(samples):
        n = int(rng.integers(1, longest))
        yield samples[at : at + n]
        at += n


def described(samples, front_ends, stretch_s, seed=0):
    track = TrackStretches(front_ends, stretch_s=stretch_s)
    rate_hz = front_ends[0].input_spec.sample_rate_hz
    for block in in_blocks(samples, np.random.default_rng(seed), rate_hz):
        track.add(block)
    assert track.n_samples == len(samples)
    return track.ended()


@pytest.mark.parametrize("seconds", [0.02, 1.5, 31.37])
@pytest.mark.parametrize("windows", [WindowSpec(1.0, 1.0), WindowSpec(2.0, 0.37)])
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_stretches_are_the_whole(name, windows, seconds):
    input_spec = FRONT_ENDS[name]
    samples = music(seconds, input_spec.sample_rate_hz)
    rule = Activity()
    (found,) = described(samples, [TrackFrontEnd(input_spec, windows, rule)], stretch_s=3.0)
    whole = input_spec.matrix(samples)
    starts = window_starts(whole.shape[1], windows, input_spec)
    assert found.matrix.dtype == input_spec.dtype
    least, near = NEAR.get(name, (-np.inf, 0))
    seen = np.maximum(found.matrix, least), np.maximum(whole, least)
    np.testing.assert_allclose(*seen, rtol=0, atol=near)
    np.testing.assert_array_equal(found.columns, starts)
    assert found.starts_s == (starts * input_spec.hop / input_spec.sample_rate_hz).tolist()
    active = active_windows(
        samples,
        starts * input_spec.hop,
        round(windows.window_s * input_spec.sample_rate_hz),
        sample_rate_hz=input_spec.sample_rate_hz,
        rule=rule,
    )
    np.testing.assert_array_equal(found.active, active)
    if seconds > 30:
        assert 0 < active.sum() < len(active)


def test_front_ends_of_one_rate_go_together():
    short, long = WindowSpec(1.0, 0.5), WindowSpec(6.0, 3.0)
    front_ends = [TrackFrontEnd(CED, short, Activity()), TrackFrontEnd(YAMNET, long, None)]
    samples = music(40, 16_000)
    together = described(samples, front_ends, stretch_s=2.0)
    for one, front_end in zip(together, front_ends, strict=True):
        (alone,) = described(samples, [front_end], stretch_s=1000.0)
        np.testing.assert_array_equal(one.matrix, alone.matrix)
        np.testing.assert_array_equal(one.active, alone.active)
    assert together[1].active.all()


@pytest.mark.parametrize(("name", "window_s"), [("mfcc", 1.0), ("log-mel", 20.0)])
def test_what_must_wait_is_joined_once_a_stretch(name, window_s, monkeypatch):
    """A matrix of the whole track, and windows longer than a stretch, keep samples waiting."""
    joined, concatenate = [], np.concatenate

    def counted(parts, **options):
        joined.append(len(parts))
        return concatenate(parts, **options)

    samples = music(40, 16_000)
    front_end = TrackFrontEnd(FRONT_ENDS[name], WindowSpec(window_s, 1.0), Activity())
    monkeypatch.setattr("pipeline.inference.track_front_end.np.concatenate", counted)
    described(samples, [front_end], stretch_s=4.0)
    assert len(joined) < 20


def test_columns_between_windows_are_left_out():
    windows = WindowSpec(1.0, 7.0)
    samples = music(31.37, 16_000)
    (found,) = described(samples, [TrackFrontEnd(CED, windows, Activity())], stretch_s=2.0)
    whole, n_frames = CED.matrix(samples), windows.n_frames(CED)
    starts = window_starts(whole.shape[1], windows, CED)
    assert found.matrix.shape == (64, len(starts) * n_frames)
    cut = MatrixWindows(found.matrix, found.columns, n_frames, CED.silence)
    np.testing.assert_array_equal(cut[:], cut_windows(whole, starts, n_frames, silence=CED.silence))
    assert cut[len(cut) :].shape == (0, 64, n_frames)


def test_an_hour_is_never_in_memory_as_samples():
    """An hour at 16 kHz is 220 MiB of samples, and 21 of log-mel, twice while it is joined."""
    code = """
import numpy as np
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.inference.track_front_end import TrackFrontEnd, TrackStretches
from tests.inference.test_track_front_end import LOG_MEL
def peak_mib():
    status = dict(line.split(':') for line in open('/proc/self/status'))
    return int(status['VmHWM'].split()[0]) / 1024
def run(seconds):
    front_end = TrackFrontEnd(LOG_MEL, WindowSpec(10.0, 10.0), Activity())
    track = TrackStretches([front_end], stretch_s=60)
    block = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    for _ in range(seconds):
        track.add(block)
    return track.ended()[0].matrix.shape
run(120)
before = peak_mib()
print(run(3600), peak_mib() - before, sep=';')
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shape, more_mib = done.stdout.split(";")
    assert shape == "(48, 225001)"
    assert float(more_mib) < 100
