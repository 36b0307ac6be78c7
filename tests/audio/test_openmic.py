"""A small folder in OpenMIC-2018's form: labels, unknowns, splits, other classes, what is wrong."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
import soundfile

from pipeline.audio.fetching.fetch import open_source
from pipeline.audio.segment import get_segment
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.build import BuildConfig
from pipeline.datasets.build_plan import dry_run, make_plan
from pipeline.errors import UsageError
from pipeline.selection.labelled import train_or_val
from pipeline.selection.vocabulary import default_vocabulary, shipped_vocabulary
from tests.conftest import tones

CODES = shipped_vocabulary("openmic").codes
LABELS = {
    "000046_3840": {"cello": 0.9, "guitar": 0.2},
    "000135_483840": {"guitar": 0.5, "voice": 0.4999},
    "000139_119040": {"mallet_percussion": 1.0},
    "000141_153600": {"banjo": 0.0},
}
TRAIN = ["000046_3840", "000139_119040"]


@pytest.fixture(scope="module")
def ogg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ogg") / "a.ogg"
    soundfile.write(path, tones(10.0, 440.0, sample_rate_hz=8000), 8000)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, ogg: bytes) -> Path:
    """Return a folder as the set is unpacked, with four clips."""
    root = tmp_path / "openmic-2018"
    (root / "partitions").mkdir(parents=True)
    rows = ["sample_key,instrument,relevance,num_responses"]
    for key, labels in LABELS.items():
        rows += [f"{key},{name},{relevance},3" for name, relevance in labels.items()]
        path = root / "audio" / key[:3] / f"{key}.ogg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ogg)
    (root / "openmic-2018-aggregated-labels.csv").write_text("\n".join([*rows, ""]))
    (root / "openmic-2018-metadata.csv").write_text("sample_key,track_id\n")
    (root / "class-map.json").write_text(json.dumps({code: k for k, code in enumerate(CODES)}))
    for name, keys in (("train", TRAIN), ("test", [key for key in LABELS if key not in TRAIN])):
        (root / "partitions" / f"split01_{name}.csv").write_text("\n".join([*keys, ""]))
    return root


def planned(folder: Path, **settings: object) -> pa.Table:
    out = str(folder.parent / "ds")
    return make_plan(BuildConfig((), out, f"openmic:{folder}", **settings)).segments


def by_id(table: pa.Table) -> dict[str, dict[str, object]]:
    return {row["ytid"]: row for row in table.to_pylist()}


def test_what_is_not_labelled_is_unknown(folder):
    rows = by_id(planned(folder))
    assert set(rows) == set(LABELS)
    first = rows["000046_3840"]
    assert (first["segment_id"], first["start_s"], first["end_s"]) == ("000046_3840_0", 0.0, 10.0)
    assert (first["classes"], first["group"]) == (["cello"], "000046")
    assert first["unknown"] == [code for code in CODES if code not in ("cello", "guitar")]
    second = rows["000135_483840"]
    assert second["classes"] == ["guitar"]  # 0.5 is there, less is not
    assert len(second["unknown"]) == 18
    last = rows["000141_153600"]
    assert last["classes"] == []
    assert last["unknown"] == [code for code in CODES if code != "banjo"]


def test_the_split_is_openmics_own_and_tracks_of_train_are_validation(folder):
    rows = by_id(planned(folder))
    assert {key for key, row in rows.items() if row["split"] == "test"} == set(LABELS) - set(TRAIN)
    assert all(rows[key]["split"] == train_or_val(key[:6]) for key in TRAIN)
    splits = [train_or_val(f"{k:06d}") for k in range(5000)]
    assert splits.count("val") / 5000 == pytest.approx(0.1, abs=0.02)
    assert set(splits) == {"train", "val"}


def test_the_rows_end_in_the_same_tables(folder):
    plan = make_plan(BuildConfig((), str(folder.parent / "ds"), f"openmic:{folder}"))
    assert plan.identity().split == "openmic"
    assert [one["code"] for one in plan.identity().classes] == CODES
    source = open_source(f"openmic:{folder}")
    rows = [get_segment(source, row, LogMelSpec()) for row in plan.segments.to_pylist()]
    assert [row.ledger["outcome"] for row in rows] == ["ok"] * 4
    assert {row.clip["n_samples"] for row in rows} == {441_000}
    assert [row.clip["unknown"] for row in rows] == plan.segments["unknown"].to_pylist()


def test_the_eleven_take_what_the_labels_say_of_them(folder):
    rows = by_id(planned(folder, classes="instruments"))
    eleven = default_vocabulary().codes
    assert set(rows) == {"000046_3840", "000135_483840"}  # nothing is known of the others
    first, second = rows["000046_3840"], rows["000135_483840"]
    assert first["classes"] == ["cel"]
    assert set(eleven) - {*first["unknown"]} == {"cel", "gac", "gel"}  # no guitar of any kind
    assert second["classes"] == []
    assert set(eleven) - {*second["unknown"]} == {"voi"}  # which guitar is not said


def test_all_classes_that_both_have_are_taken_over():
    own, eleven = shipped_vocabulary("openmic"), default_vocabulary()
    mids = {one.code: set(one.any_of) for one in own.instruments}
    taken = {
        one.code: name
        for one in eleven.instruments
        for name, ids in mids.items()
        if ids <= {*one.any_of}
    }
    assert taken == {
        "cel": "cello", "cla": "clarinet", "flu": "flute", "org": "organ", "pia": "piano",
        "sax": "saxophone", "tru": "trumpet", "vio": "violin", "voi": "voice",
    }  # fmt: skip


def test_a_dry_run_counts_and_names_what_is_missing(folder):
    (folder / "audio/000/000139_119040.ogg").unlink()
    config = BuildConfig((), str(folder.parent / "ds"), f"openmic:{folder}", classes="instruments")
    assert dry_run(config)["counts"]["without_class"] == 2
    report = dry_run(BuildConfig((), config.out, config.source))
    assert (report["planned"], report["in_folder"]["missing"]) == (4, ["000139_119040"])
    capped = dry_run(BuildConfig((), config.out, config.source, max_per_class=1))
    assert capped["planned"] == 4  # also the clip without any class
    row = planned(folder).to_pylist()[-1]
    got = get_segment(open_source(config.source), row | {"ytid": "x"}, LogMelSpec())
    assert (got.ledger["outcome"], got.ledger["reason"]) == ("unavailable", "not_found")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("openmic-2018-aggregated-labels.csv", None, r"no openmic-2018-agg.*\.csv there; name the"),
        ("partitions/split01_test.csv", None, r"no partitions/split01_test\.csv there"),
        ("openmic-2018-aggregated-labels.csv", "a,b\n", r"labels\.csv:1: found columns 'a, b'"),
        (
            "openmic-2018-aggregated-labels.csv",
            "sample_key,instrument,relevance\n000046_3840,harp,1\n",
            r"labels\.csv:2: found instrument 'harp'; expected one of accordion",
        ),
        (
            "openmic-2018-aggregated-labels.csv",
            "sample_key,instrument,relevance\n000046_3840,cello,nan\n",
            r"labels\.csv:2: found relevance 'nan'; expected a number from 0 to 1",
        ),
        (
            "openmic-2018-aggregated-labels.csv",
            "sample_key,instrument,relevance\n000999_1,cello,1\n",
            r"000999_1 has labels in openmic.*, but is in neither",
        ),
        ("partitions/split01_test.csv", "000046_1\n", r"test\.csv: track 000046 is in part.*too"),
    ],
)
def test_a_wrong_folder_is_told_in_a_line(folder, name, text, message):
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(UsageError, match=message) as told:
        planned(folder)
    assert "\n" not in str(told.value)


def test_no_folder_and_flags_of_no_use_are_told(folder):
    with pytest.raises(UsageError, match=r"openmic:/nowhere: no such folder; name the folder with"):
        open_source("openmic:/nowhere")
    with pytest.raises(UsageError, match="--segments: of no use"):
        make_plan(BuildConfig(("a.csv",), str(folder.parent / "ds"), f"openmic:{folder}"))
