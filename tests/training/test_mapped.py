"""What training maps is made once on a node, whatever its ranks, and lies frame by frame."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from pipeline.audio.decoding.clip import to_pcm16, wav_bytes
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.configs.train import FitConfig
from pipeline.datasets.training_data import TrainingData
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.data import mapped
from pipeline.training.data.windows import load_windows, row_moments
from schemas.dataset import DatasetRecord

RATE_HZ = 8000
SPEC = LogMelSpec(RATE_HZ, 256, 128, 20, 0, RATE_HZ / 2)
"""Of a front end that the dataset's FEATURES are not: it is made of CLIPS."""
META = DatasetRecord(classes={}, feature_spec={}, fingerprint="sha256:0123")


@pytest.fixture
def dataset(tmp_path):
    folder = Folder(str(tmp_path / "ds"))
    folder.write_json("dataset.json", {"feature_spec": LogMelSpec().to_dict()})
    rng = np.random.default_rng(0)
    for shard in range(3):
        rows = [
            {
                "segment_id": f"{shard}-{k}",
                "classes": ["a"],
                "audio": {
                    "bytes": noise(rng),
                    "path": None,
                },
            }
            for k in range(4)
        ]
        folder.write_table(f"clips/train-{shard}.parquet", pa.Table.from_pylist(rows))
    return Dataset(folder)


def noise(rng):
    samples = 0.1 * rng.standard_normal(2 * RATE_HZ)
    return wav_bytes(to_pcm16(samples.astype(np.float32)), RATE_HZ)


def test_ranks_that_come_together_fetch_each_file_once(dataset, tmp_path, monkeypatch):
    reads, lock = [], threading.Lock()
    read_table = Folder.read_table

    def counted(self, name, *rest, **more):
        with lock:
            reads.append(name)
        return read_table(self, name, *rest, **more)

    monkeypatch.setattr(Folder, "read_table", counted)

    def rank(_):
        return mapped.mapped_clips(dataset, "train", LogMelInput(SPEC), tmp_path / "cache")

    with ThreadPoolExecutor(4) as ranks:  # a lock counts by open file: threads are as processes
        found = list(ranks.map(rank, range(4)))
    assert sorted(reads) == [f"clips/train-{shard}.parquet" for shard in range(3)]
    assert all(one == found[0] for one in found)
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 3
    assert not list((tmp_path / "cache").rglob("*.tmp"))


def test_what_a_dead_maker_left_is_made_by_the_next(dataset, tmp_path, monkeypatch):
    def fail(path, table):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(mapped, "_write", fail)
        mapped.mapped_clips(dataset, "train", LogMelInput(SPEC), tmp_path / "cache")
    tables = mapped.mapped_clips(dataset, "train", LogMelInput(SPEC), tmp_path / "cache")
    assert [table.num_rows for table in tables] == [4, 4, 4]


def test_frames_by_frames_give_the_windows_of_rows_by_rows(dataset, tmp_path):
    input_spec = LogMelInput(SPEC)
    tables = mapped.mapped_clips(dataset, "train", input_spec, tmp_path / "cache")
    ours = of(tables, input_spec)
    plain = of([by_rows(table, input_spec) for table in tables], input_spec)
    index, shifts = np.arange(len(ours)), np.arange(len(ours)) % 9 - 4
    assert ours.windows(index, shifts).tobytes() == plain.windows(index, shifts).tobytes()
    for found, expected in zip(row_moments(ours), row_moments(plain), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_window_is_one_piece_of_its_file(dataset, tmp_path):
    tables = mapped.mapped_clips(dataset, "train", LogMelInput(SPEC), tmp_path / "cache")
    for matrix in of(tables, LogMelInput(SPEC)).matrices:
        assert matrix[:, 5:20].T.flags.c_contiguous


def of(tables, input_spec):
    return load_windows(tables, codes=["a"], windows=WindowSpec(0.5, 0.5), input_spec=input_spec)


def by_rows(table, input_spec):
    """Return a mapped table as older versions had it."""
    matrices = [
        np.frombuffer(one, input_spec.dtype).reshape(-1, input_spec.n_rows).T.tobytes()
        for one in table["frames"].to_pylist()
    ]
    return table.drop_columns(["frames"]).append_column(
        "matrix", pa.array(matrices, pa.large_binary())
    )


def test_the_folder_may_be_on_a_fast_disk_and_does_not_name_the_run(dataset, tmp_path):
    config = TrainConfig(cache_dir=str(tmp_path / "fast"))
    assert TrainingData(dataset, META, config).cache.is_relative_to(tmp_path / "fast")
    assert config.identity() == TrainConfig().identity()


def test_a_relative_folder_is_that_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = FitConfig("ds", "out", TrainConfig(cache_dir="fast"))
    assert config.train.cache_dir == str(tmp_path / "fast")
