"""The eleven classes: which segments they pick, and the reference's counts on the real files."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.selection.audioset import read_segments
from pipeline.selection.select import select
from pipeline.selection.vocabulary import (
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


@pytest.mark.parametrize(
    ("mids", "classes", "unknown"),
    [
        (["/m/02sgy"], ["gel"], []),
        (["/m/01xqw", "/m/0342h"], ["cel"], ["gac", "gel"]),  # a guitar, of which kind is open
        (["/m/02sgy", "/m/0342h"], ["gel"], []),  # that guitar is the electric one
        (["/m/042v_gx", "/m/09x0r"], ["gac"], ["voi"]),  # speech, by whom is open
        (["/m/042v_gx", "/m/09x0r", "/m/02zsn"], ["gac", "voi"], []),
        (["/m/05r5c", "/m/01s0ps", "/m/05148p4", "/m/06ncr"], ["sax"], ["pia"]),  # none_of took it
        (["/m/01s0ps", "/m/06ncr"], ["sax"], ["pia"]),
        (["/m/07y_7", "/m/0d8_n", "/m/0l14_3", "/m/01xqw"], ["cel"], ["vio"]),
        (["/m/07gql", "/m/04rlf", "/m/04szw"], ["tru"], []),  # music, a musical instrument
        (["/m/07gql", "/m/085jw", "/m/01kcd"], ["tru"], ["cla", "flu", "sax"]),
    ],
)
def test_what_the_labels_leave_open_is_unknown(mids, classes, unknown):
    chosen = select(rows([], mids, ["/m/04rlf"], mids), VOCABULARY)
    assert chosen["classes"].to_pylist() == [classes] * 2
    assert chosen["unknown"].to_pylist() == [unknown] * 2


def test_without_unknown_if_only_what_was_taken_away_is_unknown():
    plain = VOCABULARY.without_unknown()
    chosen = select(rows(["/m/05r5c", "/m/01s0ps", "/m/06ncr", "/m/0342h"]), plain)
    assert chosen["unknown"].to_pylist() == [["pia"]]


UNKNOWN = {
    "balanced_train": "cel 6 cla 3 flu 3 gac 5 gel 5 org 1 pia 18 sax 3 tru 79 vio 7 voi 39",
    "eval": "cel 3 cla 4 flu 4 gac 6 gel 6 org 2 pia 19 sax 4 tru 66 vio 3 voi 44",
}


@pytest.mark.skipif(not REAL.is_dir(), reason="AudioSet's own files are not here")
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown_in_the_real_files(name):
    with (REAL / f"{name}_segments.csv").open("rb") as stream:
        table = read_segments(stream, name=name, known_mids=audioset_mids())
    chosen, words = select(table, VOCABULARY), UNKNOWN[name].split()
    assert Counter(code for row in chosen["unknown"].to_pylist() for code in row) == {
        code: int(n) for code, n in zip(words[::2], words[1::2], strict=True)
    }
    # Clips of one class must go on to teach what they are not: its nearest neighbours too.
    pairs = list(zip(chosen["classes"].to_pylist(), chosen["unknown"].to_pylist(), strict=True))
    for code, other in (("gel", "gac"), ("cel", "vio"), ("flu", "cla"), ("pia", "org")):
        own = [(there, unknown) for there, unknown in pairs if code in there]
        n_against = sum(other not in there and other not in unknown for there, unknown in own)
        assert n_against > 0.6 * len(own), (code, other)


def test_more_classes_than_a_word_has_bits():
    mids = sorted(audioset_mids())[:130]
    vocabulary = Vocabulary(tuple(Instrument(f"c{k}", "", (mid,)) for k, mid in enumerate(mids)))
    table = select(rows(["/none"], [mids[0], mids[64], mids[129]], [mids[63]], []), vocabulary)
    assert table["classes"].to_pylist() == [["c0", "c64", "c129"], ["c63"]]
