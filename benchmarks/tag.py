"""Tagging against the naive loop and against the machine's limit, on the same music, in one run.

    python benchmarks/tag.py [--model-name resnet50] [--folder /tmp/tag-bench] [--rounds 3]
    python benchmarks/tag.py --model FOLDER|starter  # a model that is there, with its own front end

Music of about an hour is rendered once, in seven formats. Measured, in audio seconds per second:

- naive: one file after another, librosa.load, librosa's mel (with `--model` the model's own front
  end), the network in eager torch;
- peers, with `--model`, where their packages are installed: AST in the pipeline of Hugging Face,
  and PANNs' CNN14 as panns_inference runs it, both with random weights, which cost the same time;
- bare model: windows at hand, two processes, no decoding; decode alone: no model;
- the limit when both share the cores: 1 / (1 / model + 1 / decode);
- the job: `jobs.tag_catalog` on the music many times over, from its first row to its last, and with
  its start and its end.

The parts are run in turn, `--rounds` times, and the medians are shown: the machine may be shared.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pyarrow.compute as pc
import torch
from untrained import write_untrained

from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.windows import WindowSpec, cut_windows
from pipeline.demo.catalogue import plan_catalogue
from pipeline.demo.recording import record_all
from pipeline.inference.inference_config import inference_config
from pipeline.inference.track_description import Description
from pipeline.inference.track_front_end import TrackFrontEnd
from pipeline.inference.tracks import described_rows
from pipeline.models.engines.engines import make_engine
from pipeline.models.engines.quantize import quantized_graph, save_quantized
from pipeline.models.model import load_model
from pipeline.models.starter import model_uri
from pipeline.store.folder import Folder
from pipeline.store.tags.known import NO_CONTENTS
from pipeline.store.tags.tagstore import TagStore

TRACK_S, N_TRACKS, N_NAIVE = 120.0, 28, 5
LIBROSAS = (".wav", ".flac", ".mp3", ".ogg", ".opus")  # the others it reads by an ffmpeg it finds
DEFAULT_HEARING = TrackFrontEnd(LogMelInput(), WindowSpec(), Activity())
PROCESSES = 2


@dataclass(frozen=True)
class Bench:
    """What the parts share."""

    music: list[Path]
    models: dict[str, Path]
    """By precision."""
    folder: Path
    copies: int
    """How often the job's catalogue holds the music."""
    n_naive_batch: int
    """Windows that the naive loop hands to the network at once."""
    front_end: TrackFrontEnd = DEFAULT_HEARING
    """How a track becomes windows."""


def main() -> None:
    """Prepare, run the parts in turn, print the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-name", default="resnet50")
    parser.add_argument("--model", help="a model's folder, or starter, in place of --model-name")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tag-bench"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--naive-batch", type=int, default=8, help="1000: a track at once")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "int8"])
    flags = parser.parse_args()
    bench = prepare(flags)
    parts: dict[str, Callable[[], float]] = {
        "naive": partial(naive if flags.model is None else naive_of_model, bench),
        "decode": partial(side_by_side, decode_part, bench, "bf16"),
    }
    if flags.model is not None:
        parts |= {name: partial(peer, bench, name) for name in installed_peers()}
    for precision in flags.precisions:
        parts[f"model {precision}"] = partial(side_by_side, model_part, bench, precision)
        parts[f"job {precision}"] = partial(job, bench, precision)
    rates: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(flags.rounds):
        for name, part in parts.items():
            rates[name].append(part())
            print(f"{name:<12} {rates[name][-1]:10.1f} audio s/s", flush=True)
    show({name: statistics.median(values) for name, values in rates.items()}, flags.precisions)


def show(rate: dict[str, float], precisions: list[str]) -> None:
    """Print the medians and their ratios."""
    print("\nmedians, audio seconds per second")
    for name, value in rate.items():
        print(f"  {name:<12} {value:10.1f}   {value / rate['naive']:6.2f} x naive")
    for precision in precisions:
        model, done = rate[f"model {precision}"], rate[f"job {precision}"]
        limit = 1 / (1 / model + 1 / rate["decode"])
        print(
            f"  {precision}: limit of shared cores {limit:.1f}; the job reaches {done / limit:.1%}"
        )


def prepare(flags: argparse.Namespace) -> Bench:
    """Render the music and write the models, once."""
    folder, name, precisions = flags.folder, flags.model_name, flags.precisions
    music = folder / "music"
    tracks = [track.recording for track in plan_catalogue(music, 7, n_tracks=N_TRACKS)]
    longer = [
        replace(
            one,
            sections=tuple(replace(s, end_s=TRACK_S) for s in one.sections),
            loud_s=(0.0, TRACK_S),
        )
        for one in tracks
    ]
    record_all(longer, workers=PROCESSES, title="tracks")
    paths = [one.path for one in longer]
    for k in range(flags.copies):
        for path in paths:
            link = folder / "catalogue" / f"{k}" / path.relative_to(music)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.link(path, link)
    if flags.model is not None:
        inference = inference_config(flags.model)
        front_end = TrackFrontEnd(inference.model_card.input_spec, inference.windows, Activity())
        models = dict.fromkeys(precisions, Path(model_uri(flags.model)))
        return Bench(paths, models, folder, flags.copies, flags.naive_batch, front_end)
    models = {"bf16": write_untrained(folder / name, name)}
    if "int8" in precisions:
        models["int8"] = folder / f"{name}-int8"
        if not (models["int8"] / "model.json").exists():
            windows = np.concatenate(
                [windows_of(path, DEFAULT_HEARING)[::6] for path in paths[:20]]
            )
            tagger, card = load_model(str(models["bf16"]))
            files = quantized_graph(tagger, windows)
            source, out = Folder(str(models["bf16"])), Folder(str(models["int8"]))
            save_quantized(source, card, files, out, {"n_windows": len(windows)})
    return Bench(paths, models, folder, flags.copies, flags.naive_batch)


def row_of(path: Path, front_end: TrackFrontEnd) -> dict[str, Any]:
    """Describe one track."""
    track = {"uri": str(path), "size_bytes": 0, "modified_ns": 0, "attempts": 0}
    (row,) = described_rows([track], Description([front_end]), NO_CONTENTS)
    assert row["status"] == "ok", row["detail"]
    return row


def windows_of(path: Path, front_end: TrackFrontEnd) -> np.ndarray:
    """Return a track's windows, `[n, n_rows, n_frames]`."""
    row, input_spec = row_of(path, front_end), front_end.input_spec
    matrix = np.frombuffer(row["matrix"], input_spec.dtype).reshape(input_spec.n_rows, -1)
    n_frames = front_end.windows.n_frames(input_spec)
    return cut_windows(matrix, np.array(row["columns"]), n_frames, silence=input_spec.silence)


def naive_of_model(bench: Bench) -> float:
    """Run the loop that one writes first, with the front end that the model has."""
    tagger, card = load_model(str(bench.models["bf16"]))
    torch.set_num_threads(PROCESSES)
    input_spec, n_frames, seconds = card.input_spec, card.windows.n_frames(card.input_spec), 0.0
    began = time.monotonic()
    for path in readable(bench):
        samples, rate = librosa.load(path, sr=input_spec.sample_rate_hz)
        matrix = input_spec.matrix(samples)
        starts = range(0, max(1, matrix.shape[1] - n_frames + 1), n_frames)
        cut = np.stack([matrix[:, k : k + n_frames] for k in starts])
        with torch.inference_mode():
            for batch in torch.split(torch.from_numpy(cut), bench.n_naive_batch):
                torch.sigmoid(tagger(batch))
        seconds += len(samples) / rate
    return seconds / (time.monotonic() - began)


def readable(bench: Bench) -> list[Path]:
    """Return the tracks that the naive loop and the peers take: librosa reads them by itself."""
    return [path for path in bench.music if path.suffix in LIBROSAS][:N_NAIVE]


def installed_peers() -> list[str]:
    """Return the peers whose packages are here."""
    packages = {"hf ast": "transformers", "panns cnn14": "panns_inference"}
    return [name for name, package in packages.items() if importlib.util.find_spec(package)]


def peer(bench: Bench, name: str) -> float:
    """Tag as a user of another package would: its own classes, a file at a time."""
    torch.set_num_threads(PROCESSES)
    rate_hz, tagged = {"hf ast": _hf_ast, "panns cnn14": _panns}[name]()
    began, seconds = time.monotonic(), 0.0
    for path in readable(bench)[:2]:
        samples, _ = librosa.load(path, sr=rate_hz)
        for start in range(0, len(samples) - 10 * rate_hz + 1, 10 * rate_hz):
            tagged(samples[start : start + 10 * rate_hz])
        seconds += len(samples) / rate_hz
    return seconds / (time.monotonic() - began)


def _hf_ast() -> tuple[int, Callable[[np.ndarray], Any]]:
    transformers: Any = importlib.import_module("transformers")
    model = transformers.ASTForAudioClassification(transformers.ASTConfig(num_labels=527))
    extractor = transformers.ASTFeatureExtractor()
    return 16_000, transformers.AudioClassificationPipeline(
        model=model.eval(), feature_extractor=extractor
    )


def _panns() -> tuple[int, Callable[[np.ndarray], Any]]:
    from panns_inference.models import Cnn14

    sizes = {"window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50, "fmax": 14_000}
    network = Cnn14(sample_rate=32_000, classes_num=527, **sizes).eval()

    def tagged(samples: np.ndarray) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(samples[None]), None)

    return 32_000, tagged


def naive(bench: Bench) -> float:
    """Run the loop that one writes first."""
    tagger, _ = load_model(str(bench.models["bf16"]))
    backbone = tagger.backbone.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    torch.set_num_threads(PROCESSES)
    spec, seconds, began = LogMelInput().spec, 0.0, time.monotonic()
    for path in readable(bench):
        samples, rate = librosa.load(path, sr=spec.sample_rate_hz)
        mel = librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=spec.n_fft, hop_length=spec.hop, n_mels=spec.n_mels
        )
        db = torch.from_numpy(librosa.power_to_db(mel, top_db=None)).float()
        frames = 87
        cut = torch.stack([db[:, k : k + frames] for k in range(0, db.shape[1] - frames, frames)])
        with torch.inference_mode():
            for batch in torch.split(cut, bench.n_naive_batch):
                torch.sigmoid(backbone(tagger.scaled(tagger.resized(batch)).unsqueeze(1)))
        seconds += len(samples) / rate
    return seconds / (time.monotonic() - began)


def side_by_side(part: Callable[..., tuple[float, float]], bench: Bench, precision: str) -> float:
    """Run a part in two processes at once; return the sum of their rates."""
    with get_context("spawn").Pool(PROCESSES) as pool:
        jobs = [(bench, precision, rank) for rank in range(PROCESSES)]
        return sum(seconds / spent for seconds, spent in pool.starmap(part, jobs))


def decode_part(bench: Bench, precision: str, rank: int) -> tuple[float, float]:
    """Decode and describe every second track, as the job does."""
    row_of(bench.music[0], bench.front_end)  # compiles, and starts the decoder's process
    began, seconds = time.monotonic(), 0.0
    for path in bench.music[rank::PROCESSES]:
        seconds += row_of(path, bench.front_end)["duration_s"]
    return seconds, time.monotonic() - began


def model_part(bench: Bench, precision: str, rank: int) -> tuple[float, float]:
    """Run the engine on windows at hand."""
    engine = make_engine(
        str(bench.models[precision]),
        engine="auto",
        precision=precision,
        gpu=False,
        embeddings=False,
    )
    windows = np.concatenate(
        [windows_of(path, bench.front_end) for path in bench.music[rank : rank + 4]]
    )
    engine.scores(windows[:16])
    began, n = time.monotonic(), 0
    while time.monotonic() - began < 12:
        engine.scores(windows)
        n += len(windows)
    return n * bench.front_end.windows.hop_s, time.monotonic() - began


def job(bench: Bench, precision: str) -> float:
    """Run the job; return its rate between its first and its last row."""
    out = bench.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = ["--catalog", str(bench.folder / "catalogue"), "--model", str(bench.models[precision])]
    words += ["--out", str(out), "--precision", precision, "--examples", "0"]
    subprocess.run(
        [sys.executable, "-m", "jobs.tag_catalog", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = json.loads((out / "run.json").read_text())
    assert run["tagged"] == run["tracks"] == len(bench.music) * bench.copies
    tags = TagStore(Folder(str(out))).read(["tagged_at", "duration_s"])
    assert tags is not None
    tags = tags.sort_by("tagged_at")
    at = pc.cast(tags["tagged_at"], "int64").to_numpy() / 1000
    first, last = np.searchsorted(at, [at[0] + 1e-3, at[-1]])
    steady = tags["duration_s"].to_numpy()[first : last + 1].sum() / (at[-1] - at[0])
    whole = run["audio_s"] / run["seconds"]
    stages = " ".join(f"{name} {value:.0f}" for name, value in run["stages"].items())
    print(
        f"  job {precision}: {run['audio_s']:.0f} s of audio in {run['seconds']:.1f} s, start and "
        f"end included {whole:.0f} s/s; worker seconds: {stages}; {run['memory']} {run['engine']}"
    )
    return float(steady)


if __name__ == "__main__":
    main()
