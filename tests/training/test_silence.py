"""Training, validation and tagging leave out the same windows: silence and noise."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.audio.decoding.clip import from_pcm16, to_pcm16, wav_bytes
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.flows.evaluation.validate import one_row_a_window
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import InferenceConfig, inference_config
from pipeline.models.model import Architecture, ModelCard, Tagger, save_model
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import epoch_batches
from pipeline.training.folds import fold_of
from pipeline.training.validation import clip_scores
from schemas.dataset import DatasetRecord
from tests.conftest import tones

SPEC = LogMelSpec()
META = DatasetRecord(
    classes=default_vocabulary().to_dict(),
    feature_spec=SPEC.to_dict(),
    fingerprint="sha256:0123456789abcdef0123",
    complete=True,
)
RATE_HZ = 44_100
CPU = torch.device("cpu")


def clip(pattern: str) -> np.ndarray:
    """Return a second a letter: t a tone, n noise, a silence, h silence but for its last 0.3 s.

    As 16 bits have it; each sound has silence at its ends, as frames do not end where seconds do.
    """
    rng, time_s = np.random.default_rng(len(pattern)), np.arange(RATE_HZ) / RATE_HZ
    inside = (time_s > 0.02) & (time_s < 0.98)
    tone = tones(1.0, 440, 660, 880)
    part = {
        "t": tone,
        "n": 0.1 * rng.standard_normal(RATE_HZ).astype(np.float32),
        "a": np.zeros(RATE_HZ, np.float32),
        "h": tone * (time_s > 0.7),
    }
    samples = np.concatenate([inside * part[letter] for letter in pattern])
    return from_pcm16(to_pcm16(samples))


CLIPS = {"train": ["tatan", "aanaa", "ttt", "aht"], "val": ["ta", "aaa"]}


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Dataset:
    """Write CLIPS and FEATURES of a shard a split."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "cache"))
    folder = Folder(str(tmp_path / "ds"))
    folder.write_json("dataset.json", META.to_dict())
    for split, patterns in CLIPS.items():
        wavs = [wav_bytes(to_pcm16(clip(pattern)), RATE_HZ) for pattern in patterns]
        input_spec = [LogMelInput(SPEC).matrix(clip(pattern)) for pattern in patterns]
        shared = {"segment_id": [f"{one}_0" for one in patterns], "classes": [["pia"]] * len(wavs)}
        audio = pa.array([{"bytes": wav} for wav in wavs])
        logmel = pa.array([matrix.tobytes() for matrix in input_spec], pa.large_binary())
        folder.write_table(f"clips/{split}-0.parquet", pa.table({**shared, "audio": audio}))
        reverse = pa.table({**shared, "logmel": logmel}).take(list(range(len(wavs)))[::-1])
        folder.write_table(f"features/{split}-0.parquet", reverse)
    return Dataset(folder)


def served(inference: InferenceConfig, pattern: str) -> pa.Table:
    """Return what tagging makes of a clip."""
    track = {"uri": pattern, "bytes": wav_bytes(to_pcm16(clip(pattern)), RATE_HZ)}
    track |= {"size_bytes": 1, "modified_ns": 1, "attempts": 0}
    (described,) = describe(pa.Table.from_pylist([track]), inference)
    return described


def as_tagged(training_data: TrainingData, activity: Activity | None = None) -> InferenceConfig:
    """Return how a model of this training tags."""
    card = ModelCard(
        architecture=training_data.architecture,
        vocabulary=training_data.vocabulary,
        input_spec=training_data.input_spec,
        windows=training_data.windows,
        aggregation="s1",
        thresholds={},
        dataset_fingerprint="",
        training={},
        provenance={},
    )
    codes = training_data.vocabulary.codes
    thresholds = tuple([0.5] * len(codes))
    return InferenceConfig("/m", card, "s1", thresholds, False, card.windows, activity=activity)


@pytest.mark.parametrize("model", ["resnet10t", "cnn1d-raw", "cnn2d-mfcc"])
def test_what_is_learned_from_is_what_tagging_counts(model, dataset):
    """Whatever is stored: log-mels, samples, features."""
    training_data = TrainingData(dataset, META, TrainConfig(model=model, augment=()))
    inference = as_tagged(training_data, Activity())
    for data in (training_data.train_set(), training_data.val_set()):
        for k, segment_id in enumerate(data.segment_ids):
            described = served(inference, segment_id.removesuffix("_0"))
            active = np.array(described["active"][0].as_py())
            windows = windows_of(described, inference)[0][:]
            np.testing.assert_array_equal(data.clip_windows(k), windows[active])
    assert training_data.train_set().n_left_out == 3 + 5 + 0 + 1
    assert len(training_data.train_set()) == 2 + 0 + 3 + 2


def test_windows_of_samples_that_become_log_mels_too(dataset):
    training_data = TrainingData(dataset, META, TrainConfig(model="resnet10t", augment=("noise",)))
    data = training_data.train_set()
    assert data.margins != (0, 0)
    assert len(data) == 2 + 0 + 3 + 2


def test_moved_windows_are_not_silent(dataset):
    """A tone's window beside silence begins earlier or later only as far as it stays one."""
    config = TrainConfig(model="cnn2d-mfcc")
    data = TrainingData(dataset, META, config).train_set()
    inference = as_tagged(TrainingData(dataset, META, config), Activity())
    input_spec, moved = data.matrices[data.segment_ids.index("aht_0")], set()
    for epoch in range(30):
        for batch in epoch_batches(
            data, epoch=epoch, seed=0, batch_size=8, rank=0, n_ranks=1, jitter=True
        ):
            moved |= {window.tobytes() for window in batch.windows}
    starts = [
        start for start in range(input_spec.shape[1] - 86)
        if input_spec[:, start : start + 87].tobytes() in moved
    ]  # fmt: skip
    assert len(starts) > 10
    active = inference.front_end.active(clip("aht"), np.array(starts))
    assert active.all()


def test_a_clip_of_silence_is_validated_as_it_is_tagged(dataset):
    """No window of it counts: its scores are 0."""
    training_data = TrainingData(dataset, META, TrainConfig(model="resnet10t", input_size=(32, 32)))
    val_set = training_data.val_set()
    scores = clip_scores(Tagger(training_data.architecture), val_set, "s2", CPU)
    silent = [one == "aaa_0" for one in val_set.segment_ids]
    assert not scores[silent].any()
    assert (scores[np.invert(silent)].max(axis=1) == 1).all()


def test_without_the_rule_all_windows_are_learned_from(dataset):
    training_data = TrainingData(
        dataset, META, TrainConfig(model="resnet10t", augment=(), activity=False)
    )
    data = training_data.train_set()
    assert (len(data), data.n_left_out) == (5 + 5 + 3 + 3, 0)


def test_a_fold_counts_its_own(dataset):
    data = TrainingData(dataset, META, TrainConfig(model="resnet10t", augment=())).train_set()
    fold = fold_of(data.segment_ids, data.segment_ids, n_folds=4, fold=0, seed=0)
    for clips in (fold.train, fold.val, fold.held_out):
        part = data.subset(clips)
        left_out = {"tatan_0": 3, "aanaa_0": 5, "ttt_0": 0, "aht_0": 1}
        assert part.n_left_out == sum(left_out[one] for one in part.segment_ids)
        for k in range(len(clips)):
            np.testing.assert_array_equal(part.clip_windows(k), data.clip_windows(clips[k]))


def test_nothing_to_learn_from_is_one_line(dataset):
    for table in ("clips", "features"):
        rows = dataset.folder.read_table(f"{table}/train-0.parquet", None)
        keep = [one == "aanaa_0" for one in rows["segment_id"].to_pylist()]
        dataset.folder.write_table(f"{table}/train-0.parquet", rows.filter(pa.array(keep)))
    with pytest.raises(UsageError, match="all windows to learn from are silence or noise"):
        TrainingData(dataset, META, TrainConfig(model="resnet10t")).train_set()


def test_evaluation_hears_what_the_model_was_trained_on(tmp_path):
    """A model that has learned from no silence is not judged on it; older ones are as ever."""
    torch.manual_seed(0)
    tagger = Tagger(Architecture("resnet10t", 11, (32, 32)))
    card = ModelCard(
        architecture=tagger.architecture,
        vocabulary=default_vocabulary(),
        input_spec=LogMelInput(SPEC),
        windows=WindowSpec(),
        aggregation="s1",
        thresholds={"s1": dict.fromkeys(default_vocabulary().codes, 0.5)},
        dataset_fingerprint="sha256:x",
        training={"config": {"activity": True}},
        provenance={},
    )
    save_model(Folder(str(tmp_path)), tagger.state_dict(), card)
    inference = inference_config(str(tmp_path))
    assert inference.activity == Activity()
    rows = one_row_a_window(served(inference, "tatan"), inference)
    assert rows["starts_s"].to_pylist() == [[0.0], [pytest.approx(2.0, abs=0.02)]]
    for before in ({}, {"config": {}}, {"config": {"activity": False}}):
        save_model(Folder(str(tmp_path)), tagger.state_dict(), replace(card, training=before))
        assert inference_config(str(tmp_path)).activity is None
