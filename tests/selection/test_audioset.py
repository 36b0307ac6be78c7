"""Google's CSV form: what is read, and how a bad row is named."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TableError, UsageError
from pipeline.selection.audioset import read_segments
from pipeline.selection.vocabulary import audioset_mids

HEADER = (
    "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=1\n# YTID, start, end, labels\n"
)
KNOWN = audioset_mids()


def read(text: str, name: str = "x.csv"):
    return read_segments(io.BytesIO((HEADER + text).encode()), name=name, known_mids=KNOWN)


def test_reads_googles_form():
    rows = read(
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n'
        '_0_a-B_c_d_, 21.500, 29.250, "/t/dd00005"\n'
    ).to_pylist()
    assert rows == [
        {"ytid": "--4gqARaEJE", "start_s": 0, "end_s": 10, "mids": ["/m/068hy", "/m/07q6cd_"]},
        {"ytid": "_0_a-B_c_d_", "start_s": 21.5, "end_s": 29.25, "mids": ["/t/dd00005"]},
    ]


@pytest.mark.parametrize(
    "row",
    [
        "abc, 0.000, 10.000",
        'abc, zero, 10.000, "/m/04rlf"',
        'abc, 10.000, 10.000, "/m/04rlf"',
        'abc, 10.000, 0.000, "/m/04rlf"',
        'abc def, 0.000, 10.000, "/m/04rlf"',
        'abc, 0.000, 10.000, "/m/04rlf',
        'abc, 0.000, 10.000, ""',
        'abc, -5.000, 10.000, "/m/04rlf"',
        'abc, 99999999999999999999, 999999999999999999999, "/m/04rlf"',
        "abc, 0.000, 1" + 400 * "0" + ', "/m/04rlf"',
        'abc, 0.000, 10.000, "/m/04rlf\x80"',
    ],
)
def test_a_malformed_row_is_named_by_file_line_and_form(row):
    with pytest.raises(TableError, match=r"^my\.csv:5: found .*expected YTID, start_seconds"):
        read('good, 0.000, 10.000, "/m/04rlf"\n' + row + "\n", name="my.csv")


def test_an_unknown_id_is_named():
    with pytest.raises(
        TableError, match=r"^x\.csv:5: found unknown id '/m/02qlsy'; expected one of"
    ):
        read('a, 0, 10, "/m/04rlf"\nb, 0, 10, "/m/04rlf,/m/02qlsy"\n')


def test_blank_lines_and_crlf_keep_the_count_of_lines():
    text = 'a, 0, 10, "/m/04rlf"\r\n\r\nb, 0, 10, "/m/nope"\r\n'
    with pytest.raises(TableError, match=r"^x\.csv:6: "):
        read(text)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00\x01", b"# only\n# comments\n"])
def test_a_file_without_rows_is_a_usage_error_or_empty(data):
    try:
        rows = read_segments(io.BytesIO(data), name="x.csv", known_mids=KNOWN)
    except UsageError as error:
        assert "x.csv" in str(error)
    else:
        assert rows.num_rows == 0


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True),
            st.integers(0, 10**6),
            st.integers(1, 10_000),
            st.lists(st.sampled_from(sorted(KNOWN)), min_size=1, max_size=5, unique=True),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_written_is_read(rows):
    text = "".join(
        f'{ytid}, {start / 1000:.3f}, {(start + length) / 1000:.3f}, "{",".join(mids)}"\n'
        for ytid, start, length, mids in rows
    )
    assert read(text)["ytid"].to_pylist() == [row[0] for row in rows]
    assert read(text)["mids"].to_pylist() == [row[3] for row in rows]
    assert read(text)["start_s"].to_pylist() == pytest.approx([row[1] / 1000 for row in rows])


REAL = Path(__file__).parents[3] / "shared" / "audioset"


@pytest.mark.skipif(not REAL.is_dir(), reason="AudioSet's own files are not here")
@pytest.mark.parametrize(("name", "n_rows"), [("balanced_train", 22_160), ("eval", 20_371)])
def test_audiosets_own_files(name, n_rows):
    with (REAL / f"{name}_segments.csv").open("rb") as stream:
        assert read_segments(stream, name=name, known_mids=KNOWN).num_rows == n_rows
