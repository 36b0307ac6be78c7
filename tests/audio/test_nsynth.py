"""A small folder in NSynth's form: families, splits, other classes, what is wrong."""

import json
from pathlib import Path

import pytest

from pipeline.audio.fetching.fetch import open_source
from pipeline.audio.segment import get_segment
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.build import BuildConfig
from pipeline.datasets.build_plan import make_plan
from pipeline.errors import UsageError
from pipeline.selection.vocabulary import shipped_vocabulary

NOTES = {
    "nsynth-train": ["guitar_acoustic_000-060-075", "guitar_acoustic_000-061-075"],
    "nsynth-valid": ["flute_acoustic_002-077-100"],
    "nsynth-test": ["synth_lead_synthetic_003-033-025"],
}


@pytest.fixture
def folder(make_wav, tmp_path: Path) -> Path:
    """Return a folder with the three parts, as they are unpacked."""
    root = tmp_path / "nsynth"
    for part, notes in NOTES.items():
        about = {note: note_of(note) for note in notes}
        for note in notes:
            make_wav(f"nsynth/{part}/audio/{note}.wav", 4.0, 440.0, sample_rate_hz=16_000)
        (root / part / "examples.json").write_text(json.dumps(about))
    return root


def note_of(note: str) -> dict[str, object]:
    name, pitch, velocity = note.rsplit("-", 2)
    family, source, _ = name.rsplit("_", 2)
    return {
        "note_str": note,
        "instrument_str": name,
        "instrument_family_str": family,
        "instrument_source_str": source,
        "pitch": int(pitch),
        "velocity": int(velocity),
        "sample_rate": 16_000,
    }


def config_of(folder: Path, **settings: object) -> BuildConfig:
    return BuildConfig((), str(folder.parent / "ds"), f"nsynth:{folder}", **settings)


def test_families_are_the_classes_and_the_parts_the_splits(folder):
    plan = make_plan(config_of(folder))
    assert plan.vocabulary == shipped_vocabulary("nsynth")
    assert len(plan.vocabulary.codes) == 11
    rows = plan.segments.to_pylist()
    found = {row["ytid"]: (row["split"], row["classes"], row["group"]) for row in rows}
    guitar = ("train", ["guitar"], "guitar_acoustic_000")
    assert found == {
        "guitar_acoustic_000-060-075": guitar,
        "guitar_acoustic_000-061-075": guitar,
        "flute_acoustic_002-077-100": ("val", ["flute"], "flute_acoustic_002"),
        "synth_lead_synthetic_003-033-025": ("test", ["synth_lead"], "synth_lead_synthetic_003"),
    }
    assert all(row["unknown"] == [] for row in rows)
    source = open_source(config_of(folder).source)
    got = [get_segment(source, row, LogMelSpec()) for row in rows]
    assert [one.ledger["outcome"] for one in got] == ["ok"] * 4
    assert {one.clip["n_samples"] for one in got} == {4 * 44_100}


def test_the_eleven_take_what_a_family_says_of_them(folder):
    rows = make_plan(config_of(folder, classes="instruments")).segments.to_pylist()
    rows = {row["ytid"].split("_")[0]: row for row in rows}
    assert (rows["guitar"]["classes"], rows["guitar"]["unknown"]) == ([], ["gac", "gel"])
    assert (rows["flute"]["classes"], rows["flute"]["unknown"]) == (["flu"], [])
    assert rows["synth"]["classes"] == rows["synth"]["unknown"] == []


def test_one_part_is_enough(folder, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    (folder / "nsynth-test").rename(only / "nsynth-test")
    rows = make_plan(config_of(only)).segments.to_pylist()
    assert [row["split"] for row in rows] == ["test"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no nsynth-valid/examples\.json there; name the folder as it was downloaded"),
        ("{", r"nsynth-valid/examples\.json: Expecting.*expected NSynth's examples\.json"),
        ("[]", r"nsynth-valid/examples\.json: a list; expected the notes"),
        ('{"a-1-2": {}}', r"examples\.json: a-1-2 has no instrument_family_str"),
        (
            '{"a-1-2": {"instrument_family_str": "harp"}}',
            r"a-1-2 has the family 'harp'; expected one of bass, brass",
        ),
    ],
)
def test_a_wrong_file_is_told_in_a_line(folder, text, message):
    path = folder / "nsynth-valid" / "examples.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message) as told:
        make_plan(config_of(folder))
    assert "\n" not in str(told.value)


def test_another_folder_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"no nsynth-train/examples\.json there; name the folder"):
        open_source(f"nsynth:{tmp_path}")
