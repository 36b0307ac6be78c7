"""Questions: what they mean, and how a wrong one is told."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.searching.conditions import Column, Columns, condition_of
from pipeline.searching.expression import parse

SCORES = pa.struct([("cel", pa.float32()), ("voi", pa.float32()), ("o'x", pa.float32())])
ROWS = pa.table(
    {
        "uri": ["/m/Live at 5%.mp3", "/m/a_b.flac", "s3://b/live/c.wav", "/m/'; drop table t"],
        "duration_s": [30.0, 90.0, 120.0, None],
        "labels": [["cel"], ["cel", "voi"], ["voi"], []],
        "scores": pa.array(
            [{"cel": 0.9, "voi": 0.1, "o'x": 0.5}, {"cel": 0.6, "voi": 0.7}, {"cel": 0.2}, None],
            SCORES,
        ),
        "peaks": pa.array([{"cel": 0.3}, {"cel": 0.8}, {"cel": 0.1}, None], SCORES),
    }
)
COLUMNS = Columns(
    ["cel", "voi", "o'x"],
    {"uri": Column("uri", "text"), "duration": Column("duration_s")},
    {"cel": "cello", "voi": "human voice"},
)


def found(text):
    """Return the numbers of the rows that a question finds."""
    condition = condition_of(text, COLUMNS)
    connection = duckdb.connect()
    connection.register("t", ROWS.append_column("row", pa.array(range(4))))
    sql = f"select row from t where {condition.sql} order by row"
    return [row for (row,) in connection.sql(sql, params=list(condition.values)).fetchall()]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("cel", [0, 1]),
        ("cello", [0, 1]),
        ("labels.cel", [0, 1]),
        ("cel and not voi", [0]),
        ("not cel", [2, 3]),
        ("NOT (cel OR voi)", [3]),
        ("cel > 0.5, duration > 60", [1]),
        ("cel or voi, duration > 60", [1, 2]),  # the comma binds last
        ("cel or voi and duration > 100", [0, 1, 2]),  # `and` before `or`
        ("(cel or voi) and duration > 100", [2]),
        ("peaks.cel >= .8", [1]),
        ("scores.cel == 2e-1 or cel<0.25", [2]),
        ("duration != 90", [0, 2]),  # of an unknown length neither = nor != holds
        ("uri ~ live", [0, 2]),
        ("uri ~ '/M/*.mp3'", [0]),
        ('uri ~ "5%"', [0]),
        ("uri ~ a_b", [1]),
        ("uri ~ 'a?b*'", []),
        ("uri ~ '*a?b*'", [1]),
        ('uri = "/m/\'; drop table t"', [3]),
        ('uri ~ "\'; drop"', [3]),
    ],
)
def test_what_a_question_finds(text, rows):
    assert found(text) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("celo", "--where, character 1, at 'celo': unknown word 'celo' (did you mean cello?)"),
        ("cel and durtion > 6", "character 9, at 'durtion > 6': unknown word 'durtion' (did you"),
        ("duration", "expected a comparison such as duration > 0"),
        ("duration > long", "duration is a number: expected a number"),
        ("cel ~ x", "~ is for texts such as uri; cel is a number"),
        ("cel >", "character 6, at the end: expected a number or a text"),
        ("(cel", "character 5, at the end: expected )"),
        ("cel voi", "character 5, at 'voi': expected and, or, a comma or the end"),
        ("cel, ", "at the end: expected a label"),
        ("uri ~ 'a", 'character 7, at "\'a": a quote that does not end'),
        ("cel & voi", "character 5, at '& voi': put a text with such signs in quotes"),
        ("(" * 101 + "cel", "more than 100 brackets"),
        ("not " * 5000 + "cel", "more than 100 brackets"),
    ],
)
def test_a_wrong_question_is_told_in_one_line_with_its_place(text, said):
    with pytest.raises(UsageError) as caught:
        found(text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@given(st.text(alphabet="cel voi.0<>=~()'\",and or not\\*\x00é", max_size=30))
def test_any_text_is_a_question_or_a_usage_error(text):
    try:
        condition = condition_of(text, COLUMNS)
    except UsageError as error:
        assert "--where, character" in str(error)
        return
    assert condition.sql.count("?") == len(condition.values)
    found(text)


def test_a_name_of_a_class_is_quoted():
    columns = Columns(["o'x"], {})
    assert columns.column_of("scores.o'x").sql == "scores['o''x']"


def test_long_chains_are_no_deep_trees():
    assert len(parse(" or ".join(["cel"] * 5000)).parts) == 5000


@pytest.mark.parametrize("digits", ["007", "1234567", "1e3"])
def test_the_digits_of_a_text_are_no_number(digits):
    assert condition_of(f"uri = {digits}", COLUMNS).values == (digits,)
    assert digits in str(condition_of(f"uri ~ {digits}", COLUMNS).values)
    assert condition_of(f"duration > {digits}", COLUMNS).values == (float(digits),)
