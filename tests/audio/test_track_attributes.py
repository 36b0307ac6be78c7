"""A track's attributes: the mean over its excerpts, null where one is not defined."""

import numpy as np
import pytest

from pipeline.audio.description import track_attributes
from pipeline.audio.description.attributes.base import AttributeSet
from pipeline.audio.description.excerpts import RATE_HZ
from pipeline.audio.description.timbral.descriptors import NAMES, timbral_descriptors
from pipeline.audio.description.track_attributes import (
    TrackAttributes,
    attribute_columns,
    check_attributes,
)
from pipeline.audio.spectra.activity import Activity
from pipeline.errors import UsageError
from schemas.attributes import attribute, attributes_of, range_of, sets_of, with_attributes_of
from schemas.tags import tags_schema
from tests.conftest import tones


def described(samples, activity=None):
    track = TrackAttributes(["timbral"], activity)
    track.add(samples)
    return track.ended()


def test_a_short_track_has_what_its_samples_have():
    samples = tones(0.5, 220, 440, 880) * np.exp(-4 * np.arange(RATE_HZ // 2) / RATE_HZ)
    expected = timbral_descriptors(samples.astype(np.float32), RATE_HZ)
    row = described(samples.astype(np.float32))
    assert row.pop("attributes") == ["timbral"]
    assert row == {f"timbral_{name}": pytest.approx(expected[name]) for name in NAMES}


def test_silence_is_described_and_has_no_values():
    for activity in (None, Activity()):
        row = described(np.zeros(RATE_HZ, np.float32), activity)
        assert row.pop("attributes") == ["timbral"]
        assert set(row.values()) == {None} and len(row) == len(NAMES)


def test_the_mean_is_weighted_by_length_and_leaves_out_what_is_not_defined(monkeypatch):
    columns = tuple(
        attribute("made", name, "", of_track="", unit="", range="0..1") for name in ("a", "b", "c")
    )

    def describe(samples, rate_hz):
        value = float(samples[0])
        return {"made_a": value, "made_b": value if value > 1 else np.nan, "made_c": np.inf}

    made = AttributeSet(columns, describe)
    monkeypatch.setattr(track_attributes, "attribute_set", lambda name: made)
    track = TrackAttributes(["made"], None)
    track.add(np.ones(5 * RATE_HZ, np.float32))
    track.add(np.full(3 * RATE_HZ, 2, np.float32))
    row = track.ended()
    assert row["made_a"] == pytest.approx((5 * 1 + 3 * 2) / 8)
    assert (row["made_b"], row["made_c"]) == (2, None)


def test_columns_say_what_they_hold():
    columns = attribute_columns(["timbral"])
    schema = tags_schema(["cel"], columns)
    assert tags_schema(["cel"]).names == schema.names[: -len(columns) - 1]
    assert schema.names[-9] == "attributes" and attributes_of(schema) == columns
    for column in columns:
        assert str(column.type) == "float"
        said = column.metadata[b"of_track"].decode()
        assert "excerpts of 5 s" in said and column.metadata[b"meaning"]
    assert range_of(schema.field("timbral_brightness")) == (0, 100)
    assert range_of(schema.field("timbral_reverb")) == (0, 1)
    assert sets_of(schema) == ["timbral"] and sets_of(tags_schema(["cel"])) == []


def test_a_schema_takes_the_attributes_of_another_once():
    plain, with_all = (
        tags_schema(["cel"]),
        tags_schema(["cel"], attribute_columns(["timbral"])),
    )
    assert with_attributes_of(plain, with_all).names == with_all.names
    assert with_attributes_of(with_all, with_all).names == with_all.names
    assert with_attributes_of(plain, plain) == plain


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["timbre"], r"--attributes timbre: expected some of .*timbral"),
        (["timbral", "timbral"], "--attributes timbral,timbral: expected each name once"),
    ],
)
def test_what_a_user_gets_wrong(names, said):
    with pytest.raises(UsageError, match=said):
        check_attributes(names)
