"""The explore job on a small dataset with the real schemas: files, exit codes, messages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from jobs import explore as job
from jobs import harness
from pipeline.audio.decoding.clip import to_pcm16, wav_bytes
from pipeline.audio.description.features import FEATURES, FrameSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.datasets.explore import ExploreConfig, compare, find_examples
from pipeline.datasets.pooled import check_features, read_pooled
from pipeline.errors import SpecMismatch, UsageError
from pipeline.selection.vocabulary import Instrument, Vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.anova import ANOVA
from schemas.clips import clips_schema
from schemas.dataset import FORMAT
from schemas.feature_set import squared
from schemas.features import features_schema
from schemas.segments import SEGMENTS

VOCABULARY = Vocabulary(
    tuple(
        Instrument(c, n, ("/m/1",))
        for c, n in [("cel", "cello"), ("pia", "piano"), ("voi", "voice")]
    )
)
SPEC = LogMelSpec(sample_rate_hz=1000, n_fft=64, hop=32, n_mels=8)
SHARDS = {"train-0": 40, "train-1": 20, "test-0": 9}
FINGERPRINT = "sha256:1"


def classes_of(i):
    """Every fifth clip has two classes, the others one."""
    codes = VOCABULARY.codes
    return [codes[i % 3]] if i % 5 else sorted({codes[i % 3], codes[(i + 1) % 3]})


def clips_of(shard):
    """Return what is common to a shard's tables, as dicts; the first clip of all has 2 classes."""
    split = shard.split("-")[0]
    before = list(SHARDS).index(shard) * 100
    return [
        {
            "segment_id": f"{shard}v{i}_0",
            "ytid": f"{shard}v{i}",
            "start_s": 0.0,
            "end_s": 2.0,
            "classes": classes_of(before + i),
            "split": split,
            "shard": shard,
            "mids": [],
            "n_samples": 2000,
            "sample_rate_hz": SPEC.sample_rate_hz,
            "sha256": "0",
            "n_frames": 63,
        }
        for i in range(SHARDS[shard])
    ]


def table_of(rows, schema, **columns):
    """Return the rows as a table of `schema`; what they lack is null."""
    known = [{name: row.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(
        [row | {n: c[i] for n, c in columns.items()} for i, row in enumerate(known)], schema
    )


def write_dataset(folder, **changes):
    """Write a dataset of 69 clips; only those of the examples are heard, so all have one wav."""
    store, rng = Folder(str(folder)), np.random.default_rng(0)
    wav = wav_bytes(to_pcm16(0.1 * rng.standard_normal(2000).astype(np.float32)), 1000)
    for shard in SHARDS:
        rows = clips_of(shard)
        logmels = [np.full((8, 63), -i, "<f2").tobytes() for i in range(len(rows))]
        features = table_of(rows, features_schema(SPEC.to_dict()), logmel=logmels)
        audio = [{"bytes": wav, "path": None}] * len(rows)
        clips = table_of(rows, clips_schema(1000), audio=audio)
        store.write_table(f"clips/{shard}.parquet", clips)
        store.write_table(f"features/{shard}.parquet", features)
    everything = [row for shard in SHARDS for row in clips_of(shard)]
    gone = [everything[0] | {"segment_id": "gone_0"}]
    store.write_table("segments.parquet", table_of(everything + gone, SEGMENTS))
    meta = {
        "format": FORMAT,
        "classes": VOCABULARY.to_dict(),
        "feature_spec": SPEC.to_dict(),
        "complete": True,
        "fingerprint": FINGERPRINT,
    }
    store.write_json("dataset.json", meta | changes)
    return folder


def pooled_schema(statistics, rows, unit):
    lists = [
        pa.field(name, pa.list_(pa.float32()), metadata={"rows": json.dumps(rows), "unit": unit})
        for name in statistics
    ]
    ids = [pa.field("segment_id", pa.string()), pa.field("ytid", pa.string())]
    rest = [pa.field("classes", pa.list_(pa.string())), pa.field("split", pa.string())]
    return pa.schema([*ids, *lists, *rest])


def write_features(folder, *, statistics=("mean", "var"), **changes):
    """Write two features: one that knows the class in its first row, and noise."""
    store, rng = Folder(str(folder)), np.random.default_rng(0)
    features = {"mfcc": (["mfcc_0", "mfcc_1"], "dB"), "tonnetz": (["t"], "")}
    for name, (rows, unit) in features.items():
        for shard in SHARDS:
            clips = clips_of(shard)
            values = {s: rng.normal(size=(len(clips), len(rows))) for s in statistics}
            if name == "mfcc":
                first = [VOCABULARY.codes.index(clip["classes"][0]) for clip in clips]
                values[statistics[0]][:, 0] += 4 * np.array(first)
            lists = {key: value.tolist() for key, value in values.items()}
            table = table_of(clips, pooled_schema(statistics, rows, unit), **lists)
            store.write_table(f"{name}-pooled/{shard}.parquet", table)
    meta = {
        "dataset_fingerprint": FINGERPRINT,
        "features": {k: {"rows": r, "unit": u, "source": "here"} for k, (r, u) in features.items()},
        "pool": list(statistics),
        "complete": True,
    }
    store.write_json("features.json", meta | changes)
    return folder


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("explore") / "ds")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("explore") / "features")


def run(ds, out, *flags):
    return job.main(["--dataset", str(ds), "--out", str(out), *map(str, flags)])


def test_everything_is_written_and_said(ds, features, tmp_path, capsys):
    assert run(ds, tmp_path, "--features", features) == harness.OK
    table = pq.read_table(tmp_path / "anova.parquet")
    assert table.schema.equals(ANOVA)
    rows = {(r["feature"], r["row"], r["statistic"]): r for r in table.to_pylist()}
    assert list(rows) == [
        ("mfcc", "mfcc_0", "mean"),
        ("mfcc", "mfcc_1", "mean"),
        ("mfcc", "mfcc_0", "var"),
        ("mfcc", "mfcc_1", "var"),
        ("tonnetz", "t", "mean"),
        ("tonnetz", "t", "var"),
    ]
    assert rows["mfcc", "mfcc_0", "mean"]["p_value"] < 1e-10
    assert rows["tonnetz", "t", "mean"]["p_value"] > 0.001
    report = json.loads((tmp_path / "explore.json").read_text())
    assert report["n_clips"] == 69
    assert report["splits"]["train"] == {
        "segments": 61,
        "clips": 60,
        "hours": pytest.approx(1 / 30),
    }
    assert report["anova"]["n_clips"] == 60
    assert report["anova"]["n_single"] == 48
    html = (tmp_path / "report.html").read_text()
    assert html.count("data:image/svg") == 8 + 9
    assert html.count("data:audio/") == 9  # three parts of a clip of each of three classes
    assert "part 1 of 3" in html
    said = capsys.readouterr().out
    assert "69 clips, 0.04 hours" in said
    assert "ANOVA of 48 clips with one class, of 60" in said
    assert "mfcc: 1 of 4 rows have p < 0.001" in said
    assert "not significant: 5 rows" in said
    assert "  tonnetz t (var): p " in said


def test_the_numbers_are_those_of_the_clips_with_one_class(ds, features, tmp_path):
    assert run(ds, tmp_path, "--features", features) == harness.OK
    pooled = pa.concat_tables(
        pq.read_table(features / "mfcc-pooled" / f"train-{i}.parquet") for i in (0, 1)
    ).to_pylist()
    groups = [
        [row["mean"][1] for row in pooled if row["classes"] == [code]] for code in VOCABULARY.codes
    ]
    found = pq.read_table(tmp_path / "anova.parquet").to_pylist()[1]
    assert (found["row"], found["n_clips"]) == ("mfcc_1", sum(map(len, groups)))
    assert found["p_value"] == pytest.approx(stats.f_oneway(*groups).pvalue, rel=1e-6)


@pytest.mark.parametrize(("split", "n_clips"), [("test", 9), ("all", 69)])
def test_another_split(ds, features, tmp_path, split, n_clips):
    assert run(ds, tmp_path, "--features", features, "--split", split) == harness.OK
    report = json.loads((tmp_path / "explore.json").read_text())
    assert (report["split"], report["anova"]["n_clips"]) == (split, n_clips)
    assert report["n_clips"] == 69


def test_one_statistic_is_enough(ds, tmp_path):
    write_features(tmp_path / "f", statistics=("var",))
    assert run(ds, tmp_path / "out", "--features", tmp_path / "f") == harness.OK
    table = pq.read_table(tmp_path / "out" / "anova.parquet")
    assert table["statistic"].to_pylist() == ["var"] * 3


def test_without_features_the_page_says_how_to_get_them(ds, features, tmp_path, capsys):
    assert run(ds, tmp_path, "--features", features) == harness.OK
    capsys.readouterr()
    assert run(ds, tmp_path) == harness.OK
    assert not (tmp_path / "anova.parquet").exists()  # it would be of another run
    assert json.loads((tmp_path / "explore.json").read_text())["anova"] is None
    assert "jobs.extract_features --pool mean,var" in (tmp_path / "report.html").read_text()
    assert "ANOVA" not in capsys.readouterr().out


def test_a_dataset_without_clips_has_a_page(tmp_path):
    ds = Folder(str(tmp_path / "ds"))
    meta = {"classes": VOCABULARY.to_dict(), "feature_spec": SPEC.to_dict(), "complete": False}
    ds.write_json("dataset.json", meta)
    assert run(tmp_path / "ds", tmp_path / "out") == harness.OK
    assert json.loads((tmp_path / "out" / "explore.json").read_text())["n_clips"] == 0


def test_examples_have_only_their_class_where_there_is_such_a_clip(ds):
    dataset = Dataset.open(str(ds))
    examples = find_examples(dataset, "train", VOCABULARY.codes)
    assert [example.code for example in examples] == VOCABULARY.codes
    # clips 0 and 5 have two classes: the first with one are 1 (pia), 2 (voi) and 3 (cel)
    assert [e.segment_id for e in examples] == ["train-0v3_0", "train-0v1_0", "train-0v2_0"]
    assert [float(e.logmel[0, 0]) for e in examples] == [-3, -1, -2]
    assert find_examples(dataset, "val", VOCABULARY.codes) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_fingerprint": "sha256:2"}, "the features are not of .* as it is now"),
        ({"dataset_fingerprint": None}, "the features are not of .* as it is now"),
        ({"complete": False}, "the features are not complete"),
        ({"pool": []}, "no pooled features there"),
        ({"features": {"cqt": {}}}, "no clips in cqt-pooled of the split train"),
    ],
)
def test_features_that_do_not_fit(ds, tmp_path, capsys, changes, message):
    write_features(tmp_path / "f", **changes)
    assert run(ds, tmp_path / "out", "--features", tmp_path / "f") == harness.USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--features", "nowhere"], "no features.json there; make features with python -m jobs."),
        (["--split", "val", "--features", "FEATURES"], "no clips in mfcc-pooled of the split val"),
        (["--out", "DATASET"], "that is what --dataset names; name another folder"),
        (["--dataset", "nowhere"], "no dataset.json there"),
    ],
)
def test_wrong_flags_are_one_line(ds, features, tmp_path, capsys, flags, message):
    words = {"FEATURES": str(features), "DATASET": str(ds)}
    flags = [words.get(flag, flag) for flag in flags]
    assert run(ds, tmp_path / "out", *flags) == harness.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert not (ds / "explore.json").exists()


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, None])
def test_an_unfinished_dataset_has_no_features(tmp_path, fingerprint):
    write_dataset(tmp_path / "ds", fingerprint=None)
    write_features(tmp_path / "f", dataset_fingerprint=fingerprint)
    with pytest.raises(SpecMismatch, match="not of"):
        check_features(Folder(str(tmp_path / "f")), Dataset.open(str(tmp_path / "ds")))


def test_a_split_that_does_not_exist():
    with pytest.raises(UsageError, match="--split 'dev'"):
        ExploreConfig("d", "o", split="dev")


def test_rows_of_another_width_are_named(tmp_path, features):
    folder = Folder(str(write_features(tmp_path / "f")))
    name = "mfcc-pooled/train-1.parquet"
    table = folder.read_table(name)
    short = [values[:1] for values in table["mean"].to_pylist()]
    column = pa.array(short, pa.list_(pa.float32()))
    folder.write_table(name, table.set_column(2, table.schema.field("mean"), column))
    with pytest.raises(SpecMismatch, match=r"mean of mfcc-pooled/train-1.parquet: expected 2"):
        read_pooled(folder, "mfcc", "train", VOCABULARY.codes)


def test_classes_of_another_vocabulary_are_named(features):
    with pytest.raises(SpecMismatch, match="voi"):
        read_pooled(Folder(str(features)), "mfcc", "train", ["cel", "pia"])


def test_every_drawn_row_has_its_own_unit(ds, tmp_path):
    """The file's unit is that of all 40 descriptors; a panel shows one row."""
    frames = FrameSpec()
    rows = list(FEATURES["descriptors"].rows(frames))
    folder, rng = Folder(str(tmp_path)), np.random.default_rng(0)
    schema = pooled_schema(["mean", "var"], rows, FEATURES["descriptors"].unit)
    for shard in SHARDS:
        clips = clips_of(shard)
        lists = {s: rng.normal(size=(len(clips), len(rows))).tolist() for s in ("mean", "var")}
        folder.write_table(f"descriptors-pooled/{shard}.parquet", table_of(clips, schema, **lists))
    described = {"descriptors": {"rows": rows, "unit": FEATURES["descriptors"].unit}}
    meta = {"dataset_fingerprint": FINGERPRINT, "features": described, "pool": ["mean", "var"]}
    folder.write_json("features.json", meta | {"complete": True})
    drawn = compare(folder, Dataset.open(str(ds)), "train", VOCABULARY.codes).rows
    expected = {
        "mfcc": "dB",
        "chroma": "ratio",
        "contrast": "dB",
        "poly_slope": "full scale / Hz",
        "poly_offset": "full scale",
        "zcr": "crossings a sample",
        "rms": "full scale",
        "flatness": "ratio",
    }
    assert len(drawn) == 12
    for one in drawn:
        is_hz = one.row.endswith("_hz")
        unit = "Hz" if is_hz else expected.get(one.row, expected.get(one.row.split("_")[0]))
        assert one.unit == (squared(unit) if one.statistic == "var" else unit), one.key


def test_gaps_in_a_list_are_nan(tmp_path):
    rows = [r | {"mean": [1.0, None]} for r in clips_of("test-0")]
    schema = pooled_schema(["mean"], ["a", "b"], "Hz")
    folder = Folder(str(tmp_path))
    folder.write_table(
        "f0-pooled/test-0.parquet",
        pa.Table.from_pylist([{n: r[n] for n in schema.names} for r in rows], schema),
    )
    pooled = read_pooled(folder, "f0", "test", VOCABULARY.codes)
    assert np.isnan(pooled.values["mean"]).all(axis=0).tolist() == [False, True]
    assert (pooled.units, pooled.n_clips) == ({"mean": "Hz"}, 9)
    assert len(pooled.groups) == len(pooled.values["mean"]) == 7
