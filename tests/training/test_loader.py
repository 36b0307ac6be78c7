"""Loader processes: the same batches whatever their number, and none of them is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.input_kinds import LogMelInput, SamplesInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.kaldi import KaldiInput, KaldiSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.model import Architecture, Tagger
from pipeline.training.augmenting.randomise.chain import Randomisation
from pipeline.training.augmenting.randomise.windows import RandomisedWindows
from pipeline.training.config import TrainConfig
from pipeline.training.data.loader import Waits, loader
from pipeline.training.data.window_set import WindowSet
from pipeline.training.data.windows import load_windows, row_moments
from pipeline.training.loop import Hooks, Progress, train
from pipeline.training.spectra.logmel import SamplesToLogMel
from tests.waiting import wait_for

RATE_HZ = 8000
LOG_MEL = LogMelInput(LogMelSpec(sample_rate_hz=RATE_HZ, n_fft=512, hop=200, n_mels=16))
KALDI = KaldiInput(KaldiSpec())
BANK = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=RATE_HZ, frame_length=400, n_fft=512, hop=160, n_mels=16, f_min_hz=0.0,
        f_max_hz=4000.0, pre_emphasis=0.97, offset=1e-5,
    )
)  # fmt: skip
NOTHING = Randomisation(
    replace(Randomisation().speed, probability=0.0),
    tuple(replace(transform, probability=0.0) for transform in Randomisation().transforms),
)


def sound(seed: int, n: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def window_set(waves: list[np.ndarray], input_spec: InputSpec) -> WindowSet:
    columns = {
        "segment_id": pa.array([f"{k}" for k in range(len(waves))]),
        "classes": pa.array([["a"] if k % 2 else ["b"] for k in range(len(waves))]),
        "matrix": pa.array(
            [input_spec.matrix(wave).tobytes() for wave in waves], pa.large_binary()
        ),
    }
    table = pa.table(columns)
    return load_windows([table], codes=["a", "b"], windows=WindowSpec(), input_spec=input_spec)


def randomised_set(
    waves: list[np.ndarray], input_spec: InputSpec, work: RandomisedWindows
) -> WindowSet:
    samples = window_set(waves, SamplesInput(input_spec.sample_rate_hz))
    return replace(samples, margins=work.margins, places_short=True)


@pytest.mark.parametrize(
    "input_spec", [LOG_MEL, KALDI, BANK], ids=["log-mel", "kaldi", "filter bank"]
)
def test_window_without_anything_random_is_the_clips_own(input_spec: InputSpec) -> None:
    rate_hz = input_spec.sample_rate_hz
    wave = sound(0, 4 * rate_hz)
    for config in (NOTHING, Randomisation()):
        work = RandomisedWindows.input_spec_of(input_spec, rate_hz, config=config)
        found = work.plain(randomised_set([wave], input_spec, work).windows(np.arange(4)))
        whole = input_spec.matrix(SamplesInput(rate_hz).matrix(wave)[0].astype(np.float32) / 32768)
        n = input_spec.n_frames(rate_hz)
        for k in (1, 2):
            start = k * rate_hz // input_spec.hop
            np.testing.assert_allclose(
                found[k].astype(np.float32), whole[:, start : start + n].astype(np.float32),
                atol=0.05 if found.dtype == np.float16 else 1e-3,
            )  # fmt: skip
    heard_again = RandomisedWindows.input_spec_of(input_spec, rate_hz, config=NOTHING)
    windows = randomised_set([wave], input_spec, heard_again).windows(np.arange(4))
    assert heard_again(windows, [0]).shape == (4, input_spec.n_rows, input_spec.n_frames(rate_hz))


def test_samples_that_are_given_on_keep_their_unit_and_length() -> None:
    wave = sound(0, 4 * RATE_HZ)
    work = RandomisedWindows.input_spec_of(SamplesInput(RATE_HZ), RATE_HZ)
    data = randomised_set([wave], SamplesInput(RATE_HZ), work)
    found = work.plain(data.windows(np.array([1])))
    np.testing.assert_array_equal(found[0, 0], data.matrices[0][0, RATE_HZ : 2 * RATE_HZ])
    randomised = work(data.windows(np.array([1, 1])), [0])
    assert randomised.shape == (2, 1, RATE_HZ)
    assert not np.array_equal(randomised[0], randomised[1])
    assert 300 < np.abs(randomised).max() < 100_000


@pytest.mark.parametrize("input_spec", [LOG_MEL, BANK], ids=["log-mel", "filter bank"])
def test_bands_made_on_the_device_get_what_their_frames_reach(input_spec: InputSpec) -> None:
    waves = [sound(0, 4 * RATE_HZ)]
    work = RandomisedWindows.input_spec_of(input_spec, RATE_HZ, on_device=True)
    data = randomised_set(waves, input_spec, work)
    mean, deviation = map(torch.from_numpy, row_moments(data))
    bands = SamplesToLogMel(input_spec.spec, mean=mean, deviation=deviation)
    windows = torch.from_numpy(work.plain(data.windows(np.array([1, 2]))))
    found = bands(windows, torch.Generator(), ()).numpy()
    expected = window_set(waves, input_spec).windows(np.array([1, 2])).astype(np.float32)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_short_clip_lies_whole_in_silence_wherever_it_is_moved() -> None:
    short = 1 + np.arange(1000)
    data = window_set([short / 32768], SamplesInput(RATE_HZ))
    reach = round(0.4 * RATE_HZ)
    starts = []
    for shift in (-reach, 0, reach):
        window = replace(data, places_short=True).windows(np.array([0]), shift)[0, 0]
        starts.append(int(np.flatnonzero(window)[0]))
        np.testing.assert_array_equal(window[starts[-1] :][:1000], short)
        assert np.count_nonzero(window) == 1000
    assert starts == [0, 3500, 7000]


CONFIG = TrainConfig(
    model="resnet10t", input_size=(32, 32), epochs=2, batch_size=4, lr=1e-3,
    augment=("masks", "randomise"), sampling="persistent", mix_max=2,
)  # fmt: skip


def trained(n_processes: int, waits: list[tuple[float, float]] | None = None) -> Progress:
    torch.manual_seed(0)
    model = Tagger(Architecture("resnet10t", 2, (32, 32)))
    work = RandomisedWindows.input_spec_of(LOG_MEL, RATE_HZ)
    waves = [sound(seed, n) for seed, n in enumerate([30_000, 20_000, 3_000])]
    hooks = Hooks(
        lambda step: None,
        lambda metrics, state: None,
        on_waits=lambda *times: waits.append(times) if waits is not None else None,
    )
    with loader(work, n_processes) as processes:
        return train(
            CONFIG, model, randomised_set(waves, LOG_MEL, work), window_set(waves, LOG_MEL),
            device=torch.device("cpu"), checkpoint=None, hooks=hooks, loader=processes,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_training_is_the_same_with_any_number_of_processes_and_leaves_none_behind() -> None:
    waits: list[tuple[float, float]] = []
    alone, one, two = trained(0), trained(1), trained(2, waits)
    assert not multiprocessing.active_children()
    assert alone.history == one.history == two.history
    for name, tensor in one.best_weights.items():
        assert torch.equal(tensor, two.best_weights[name]), name
    assert len(waits) == 2
    assert all(0 < waited_s < steps_s for waited_s, steps_s in waits)


TRAINS_FOR_EVER = """
from itertools import repeat
import numpy as np
from pipeline.audio.spectra.input_kinds import SamplesInput
from pipeline.training.data.loader import loader
from pipeline.training.augmenting.randomise.windows import RandomisedWindows
from pipeline.training.data.window_set import Batch

if __name__ == "__main__":
    work = RandomisedWindows.input_spec_of(SamplesInput(8000), 8000)
    windows = np.ones((2, 1, 8000 + sum(work.margins)), np.int16)
    batch = Batch(windows, np.zeros((2, 1), np.float32), np.ones(2, np.float32), 2)
    with loader(work, 2) as processes:
        for made in processes.made(repeat(batch), [0]):
            print("made", flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_where_the_training_is_killed(
    end: signal.Signals, tmp_path: Any
) -> None:
    script = tmp_path / "trains.py"
    script.write_text(TRAINS_FOR_EVER)
    training = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert training.stdout is not None
    assert training.stdout.readline() == b"made\n"
    processes = psutil.Process(training.pid).children(recursive=True)
    assert len(processes) >= 2
    os.kill(training.pid, end)
    training.stdout.close()
    training.wait()
    wait_for(lambda: not any(is_running(process) for process in processes))


def is_running(process: psutil.Process) -> bool:
    """Whether it runs: one that ended may not have been collected yet."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_waits_adds_up_what_was_waited_for() -> None:
    waits = Waits(iter(range(3)))
    assert list(waits) == [0, 1, 2]
    assert waits.waited_s > 0


def test_number_of_processes_is_not_in_a_runs_name() -> None:
    assert TrainConfig(loader_processes=3).identity() == TrainConfig().identity()
