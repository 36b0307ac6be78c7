"""Examples: what is heard is what was decoded, what is seen its scores; and which are chosen."""

from __future__ import annotations

import base64

import numpy as np
import pyarrow as pa
import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.evaluation.runs.example_picker import MAX_BYTES, ExamplePicker
from pipeline.report.listening import (
    CODECS,
    Stretch,
    best_start_s,
    data_uri,
    encoded,
    time_line,
    title_of,
    words_of,
)
from schemas.tags import tags_schema
from tests.conftest import tones

RATE_HZ = 44_100
CODES = ["cel", "pia", "voi"]
NAMES = {"cel": "cello", "pia": "a piano of a very long name $x$", "voi": "<voice>"}


@pytest.mark.parametrize("codec", CODECS)
def test_a_clip_sounds_as_it_did_and_is_small(codec):
    samples = tones(8, 440, 1320)
    data, media_type = encoded(samples, sample_rate_hz=RATE_HZ, codecs=[codec])
    assert media_type in ("audio/ogg", "audio/mpeg")
    assert len(data) < 60_000
    heard = decode(data, sample_rate_hz=RATE_HZ)
    assert len(heard) == pytest.approx(len(samples), abs=RATE_HZ * 0.1)
    for part in (samples, heard):
        loudest = np.abs(np.fft.rfft(part[RATE_HZ : 2 * RATE_HZ])).argsort()[-2:]
        assert set(loudest) == {440, 1320}
    assert np.abs(heard).max() == pytest.approx(np.abs(samples).max(), rel=0.1)


def test_without_encoders_it_is_a_short_wav():
    data, media_type = encoded(tones(8, 440), sample_rate_hz=RATE_HZ, codecs=[])
    assert media_type == "audio/wav"
    assert len(data) < 100_000
    heard = decode(data, sample_rate_hz=12_000)
    assert len(heard) == 4 * 12_000
    assert np.abs(np.fft.rfft(heard[:12_000])).argmax() == 440


def test_clipped_and_tiny_sounds_are_encoded():
    for samples in (10 * tones(1, 440), tones(0.01, 440), np.zeros(RATE_HZ, np.float32)):
        data, _ = encoded(samples, sample_rate_hz=RATE_HZ)
        assert np.abs(decode(data, sample_rate_hz=RATE_HZ)).max() < 1.2


def test_the_best_stretch():
    starts = np.arange(30.0)
    scores = np.zeros(30)
    scores[11:19] = 1
    assert best_start_s(scores, starts, window_s=1, length_s=8) == 11
    scores[:] = 0
    scores[-1] = 1
    assert best_start_s(scores, starts, window_s=1, length_s=8) == 22  # no more is left
    assert best_start_s([0.1], [0.0], window_s=1, length_s=8) == 0
    assert best_start_s([0, 0, 1], [0.0, 5.0, 10.0], window_s=10, length_s=8) == 10


def stretch(scores, *, seconds=8.0, hop_s=1.0, active=None) -> Stretch:
    samples = tones(seconds, 440)
    n_windows = len(scores)
    return Stretch(
        samples=samples,
        sample_rate_hz=RATE_HZ,
        start_s=75.0,
        logmel=log_mel(samples, LogMelSpec()),
        spec=LogMelSpec(),
        middles_s=np.arange(n_windows) * hop_s + 0.5,
        hop_s=hop_s,
        scores=np.asarray(scores, np.float32),
        active=np.ones(n_windows, bool) if active is None else active,
        codes=CODES,
    )


def test_the_time_line(svg_of, rng):
    picture = time_line(stretch(rng.random((8, 3))), labels=["cel"], class_names=NAMES)
    svg_of(picture)
    assert picture.caption == "From 1:15 of the track on."
    assert len(picture.data_uri) < 100_000


def test_the_numbers_of_a_time_line_are_of_the_windows_that_count():
    scores = np.array([[0.2, 0.9, 0.0], [0.4, 0.7, 0.0], [1.0, 1.0, 1.0]])
    shown = stretch(scores, active=np.array([True, True, False]))
    picture = time_line(shown, labels=["cel"], class_names=NAMES)
    words = picture.alt.partition("Scores of the windows: ")
    assert words[0] == "Log-mel and scores: 8.0 s, 2 of 3 windows count. "
    each = words[2].split("; ")
    assert f"{NAMES['cel']} 0.20 to 0.40, mean 0.30" in each
    assert any(one.endswith(" 0.70 to 0.90, mean 0.80") for one in each)


@pytest.mark.parametrize(
    ("n_windows", "seconds", "hop_s"), [(1, 0.3, 1.0), (1, 1.0, 1.0), (80, 8.0, 0.1), (4, 8.0, 2.0)]
)
def test_time_lines_of_odd_windows(svg_of, rng, n_windows, seconds, hop_s):
    shown = stretch(rng.random((n_windows, 3)), seconds=seconds, hop_s=hop_s)
    svg_of(time_line(shown, labels=[], class_names=NAMES))


def test_silence_has_no_scores(svg_of, rng):
    """What does not count is not written, so that the picture has fewer marks."""
    scores = rng.random((8, 3))
    pictures = [
        time_line(stretch(scores, active=active), labels=[], class_names=NAMES)
        for active in (np.ones(8, bool), np.zeros(8, bool))
    ]
    heard, silent = (len(list(svg_of(picture).iter())) for picture in pictures)
    assert silent < heard - 24


def test_data_uris_hold_the_bytes():
    uri = data_uri(b"\x00\xff", "audio/ogg")
    assert base64.b64decode(uri.partition(",")[2]) == b"\x00\xff"


def track(name: str, scores: list[float], labels: list[str], **changes) -> dict:
    values = dict(zip(CODES, scores, strict=True))
    row = {"uri": name, "fingerprint": name, "size_bytes": 10, "status": "ok", "n_active": 3}
    return row | {"labels": labels, "scores": values, "peaks": values} | changes


def spread_of(*batches: list[dict], thresholds: float = 0.5) -> ExamplePicker:
    example_picker = ExamplePicker(dict.fromkeys(CODES, thresholds))
    for rows in batches:
        example_picker.add(pa.Table.from_pylist(rows, tags_schema(CODES)))
    return example_picker


def shown(example_picker: ExamplePicker, n: int) -> list[tuple[str, str]]:
    return [(slot[0].row["uri"], slot[0].code) for slot in example_picker.slots(n, CODES)]


SOME = [
    track("dull cello", [0.7, 0.1, 0.1], ["cel"]),
    track("cello", [0.98, 0.1, 0.1], ["cel"]),
    track("piano", [0.1, 0.9, 0.2], ["pia"]),
    track("nearly a voice", [0.1, 0.2, 0.49], []),
    track("nothing", [0.1, 0.2, 0.3], []),
    track("silence", [0.5, 0.5, 0.5], [], n_active=0),
    track("broken", [0, 0, 0], []) | {"status": "failed", "scores": None, "peaks": None},
    track("huge", [1.0, 0.1, 0.1], ["cel"], size_bytes=MAX_BYTES + 1),
]


def test_a_spread_is_chosen():
    expected = [
        ("cello", "cel"),
        ("piano", "pia"),
        ("nearly a voice", "voi"),  # at the threshold
        ("nearly a voice", "voi"),  # and the best of those without a label
    ]
    assert shown(spread_of(SOME), 6) == expected
    assert shown(spread_of(SOME), 3) == [expected[0], *expected[2:]]
    assert shown(spread_of(SOME), 1) == expected[:1]
    assert shown(spread_of(SOME), 0) == []


def test_batches_do_not_matter():
    apart = spread_of(*[[row] for row in reversed(SOME)])
    assert shown(apart, 6) == shown(spread_of(SOME), 6)


def test_evidence_decides_between_scores_of_one():
    rows = [track("weak", [1, 0, 0], ["cel"], peaks={"cel": 0.4, "pia": 0.0, "voi": 0.0})]
    rows += [track("strong", [1, 0, 0], ["cel"], peaks={"cel": 0.9, "pia": 0.0, "voi": 0.0})]
    assert shown(spread_of(rows), 1) == [("strong", "cel")]


def test_only_a_few_are_kept():
    rows = [track(f"{k}", [k / 1000, 0.1, 0.1], ["cel"]) for k in range(1000)]
    (slot,) = spread_of(rows).slots(1, CODES)
    assert [one.row["uri"] for one in slot] == ["999", "998", "997"]


def test_nothing_to_choose_from():
    assert shown(spread_of([]), 6) == []
    assert shown(spread_of([SOME[6]]), 6) == []
    assert shown(spread_of([track("old", [0.6, 0, 0], ["cel"], peaks=None, n_active=None)]), 1) == [
        ("old", "cel")
    ]


def test_titles_say_why():
    slots = spread_of(SOME).slots(4, CODES)
    limits = dict.fromkeys(CODES, 0.5)
    titles = [title_of(s[0], thresholds=limits, name=NAMES[s[0].code]) for s in slots]
    assert titles[0] == "Cello: the highest score, 0.98"
    assert titles[2:] == [
        "At the threshold: <voice> 0.49, 0.5 is asked for",
        "Without a label: the most evidence is for <voice>",
    ]
    words = words_of(SOME[1], NAMES)
    assert words.startswith("Labels: cello. Scores of the whole track: cello 0.98 (evidence 0.98)")
    assert words_of(SOME[4] | {"peaks": None}, NAMES).startswith("Labels: none.")
