"""The eleven classes: which segments they pick, and the reference's counts on the real files."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.catalog.audioset import read_segments
from pipeline.catalog.select import select
from pipeline.catalog.vocabulary import (
    Instrument,
    Vocabulary,
    audioset_mids,
    default_vocabulary,
)

VOCABULARY = default_vocabulary()


def rows(*mids: list[str]) -> pa.Table:
    n = len(mids)
    return pa.table(
        {
            "ytid": [f"v{i}" for i in range(n)],
            "start_s": [30.0] * n,
            "end_s": [40.0] * n,
            "mids": pa.array(mids, pa.list_(pa.string())),
        }
    )


@pytest.mark.parametrize(
    ("mids", "classes"),
    [
        (["/m/01xqw"], ["cel"]),
        (["/m/07y_7", "/m/01xqw"], ["cel", "vio"]),
        (["/m/05r5c", "/m/01s0ps"], None),  # piano that is an electric piano
        (["/m/05r5c", "/m/01s0ps", "/m/06ncr"], ["sax"]),  # the class goes, the segment stays
        (["/m/07y_7", "/m/0d8_n"], None),  # pizzicato
        (["/m/02qldy", "/m/02zsn", "/m/0l14jd"], ["voi"]),  # voice counts once
        (["/m/04rlf"], None),
        ([], None),
    ],
)
def test_any_of_and_none_of(mids, classes):
    chosen = select(rows(mids, ["/m/04rlf"]), VOCABULARY)
    assert chosen["classes"].to_pylist() == ([classes] if classes else [])


def test_segment_ids_hold_the_start_in_ms_and_come_once():
    table = pa.table(
        {
            "ytid": ["-a_b", "-a_b", "-a_b"],
            "start_s": [0.0, 1.2345678, 0.0],
            "end_s": [10.0, 10.0, 10.0],
            "mids": [["/m/01xqw"], ["/m/01xqw"], ["/m/06ncr"]],
        }
    )
    chosen = select(table, VOCABULARY)
    assert chosen["segment_id"].to_pylist() == ["-a_b_0", "-a_b_1235"]
    assert chosen["classes"].to_pylist() == [["cel"], ["cel"]]  # the first row of an id counts


REAL = Path(__file__).parents[3] / "shared" / "audioset"
COUNTS = {
    "balanced_train": (
        1011,
        59,
        "voi 431 org 119 cel 67 gel 65 tru 64 cla 63 sax 63 flu 62 gac 60 vio 50 pia 28",
    ),
    "eval": (
        1143,
        66,
        "voi 473 gel 125 org 123 gac 92 cel 67 tru 63 sax 62 cla 60 flu 60 vio 51 pia 33",
    ),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="AudioSet's own files are not here")
@pytest.mark.parametrize("name", COUNTS)
def test_the_references_counts(name):
    n_segments, n_many, per_class = COUNTS[name]
    with (REAL / f"{name}_segments.csv").open("rb") as stream:
        table = read_segments(stream, name=name, known_mids=audioset_mids())
    classes = select(table, VOCABULARY)["classes"].to_pylist()
    words = per_class.split()
    assert len(classes) == n_segments
    assert sum(len(row) > 1 for row in classes) == n_many
    assert Counter(code for row in classes for code in row) == {
        code: int(n) for code, n in zip(words[::2], words[1::2], strict=True)
    }


def test_more_classes_than_a_word_has_bits():
    mids = sorted(audioset_mids())[:130]
    vocabulary = Vocabulary(tuple(Instrument(f"c{k}", "", (mid,)) for k, mid in enumerate(mids)))
    table = select(rows(["/none"], [mids[0], mids[64], mids[129]], [mids[63]], []), vocabulary)
    assert table["classes"].to_pylist() == [["c0", "c64", "c129"], ["c63"]]
