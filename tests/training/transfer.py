"""Small models and datasets for the tests of fine-tuning and distillation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from pipeline.audio.decoding.clip import from_pcm16, to_pcm16, wav_bytes
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.model import Architecture, ModelCard, Tagger, save_model
from pipeline.models.networks.parts.blocks import core_of
from pipeline.models.pretrained.efficientat import FAMILY
from pipeline.models.pretrained.outputs import output_map
from pipeline.selection.vocabulary import Vocabulary, default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.transfer.fine_tuning import last_layer
from schemas.dataset import DatasetRecord
from tests.conftest import tones

RATE_HZ = 44_100
SPEC = LogMelSpec()
CODES = default_vocabulary().codes
META = DatasetRecord(
    classes=default_vocabulary().to_dict(),
    feature_spec=SPEC.to_dict(),
    fingerprint="sha256:0123456789abcdef0123",
    complete=True,
)


def some_classes(*codes: str) -> Vocabulary:
    """Return a vocabulary of some of the default classes, in another order."""
    by_code = {one.code: one for one in default_vocabulary().instruments}
    return Vocabulary(tuple(by_code[code] for code in codes))


def saved(
    folder: Path,
    architecture: Architecture,
    input_spec: InputSpec,
    windows: WindowSpec,
    vocabulary=None,
) -> str:
    """Save a model of random weights: it is sure of some classes, and its norms have seen much."""
    torch.manual_seed(0)
    tagger = Tagger(architecture)
    torch.nn.init.normal_(last_layer(core_of(tagger.backbone)).get_parameter("bias"), std=3.0)
    if input_spec.scaling is not None:
        tagger.row_mean.fill_(input_spec.scaling[0])
        tagger.row_deviation.fill_(input_spec.scaling[1])
    with torch.no_grad():
        tagger.train()(20 * torch.randn(4, *architecture.input_shape))
    card = ModelCard(
        architecture=architecture,
        vocabulary=vocabulary or default_vocabulary(),
        input_spec=input_spec,
        windows=windows,
        aggregation="s1",
        thresholds={},
        dataset_fingerprint="",
        training={},
        provenance={},
    )
    save_model(Folder(str(folder)), tagger.state_dict(), card)
    return str(folder)


def pretrained(folder: Path, window_s: float = 2.0) -> str:
    """Save a mn04 with AudioSet's 527 outputs, which are mapped to the default classes."""
    windows = WindowSpec(window_s, window_s)
    outputs = output_map(default_vocabulary(), FAMILY.mids, model="mn04")
    input_spec = FAMILY.input_spec
    shape = (input_spec.n_rows, windows.n_frames(input_spec))
    architecture = Architecture(
        "mn04", len(CODES), input_shape=shape, below_peak=False, n_outputs=527, outputs=outputs
    )
    return saved(folder, architecture, input_spec, windows)


def small(folder: Path, vocabulary: Vocabulary | None = None, *, name: str = "resnet10t") -> str:
    """Save a small timm model of the dataset's log-mel."""
    n_classes = len((vocabulary or default_vocabulary()).codes)
    architecture = Architecture(name, n_classes, input_size=(32, 32))
    return saved(folder, architecture, LogMelInput(SPEC), WindowSpec(), vocabulary)


def dataset_of(folder: Path, *, labelled: bool, n_clips: int = 4, seconds: float = 2.0) -> Dataset:
    """Write CLIPS and FEATURES of tones, a shard a split; without labels all is unknown."""
    store = Folder(str(folder))
    store.write_json("dataset.json", META.to_dict())
    for number, split in enumerate(("train", "val")):
        clips = [
            as_stored(tones(seconds, 220 * (1 + k + number), 660 * (1 + k), sample_rate_hz=RATE_HZ))
            for k in range(n_clips)
        ]
        shared = {
            "segment_id": [f"{split}{k}_0" for k in range(n_clips)],
            "classes": pa.array(
                [[CODES[k % 2]] if labelled else [] for k in range(n_clips)], pa.list_(pa.string())
            ),
            "unknown": pa.array([[] if labelled else list(CODES)] * n_clips, pa.list_(pa.string())),
        }
        audio = pa.array([{"bytes": wav_bytes(to_pcm16(clip), RATE_HZ)} for clip in clips])
        store.write_table(f"clips/{split}-0.parquet", pa.table({**shared, "audio": audio}))
        input_spec = [LogMelInput(SPEC).matrix(clip).tobytes() for clip in clips]
        logmel = pa.array(input_spec, pa.large_binary())
        store.write_table(f"features/{split}-0.parquet", pa.table({**shared, "logmel": logmel}))
    return Dataset(store)


def as_stored(samples: np.ndarray) -> np.ndarray:
    """Return samples as 16 bits have them."""
    return from_pcm16(to_pcm16(samples))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return windows of numbers that are drawn by a seed."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()
