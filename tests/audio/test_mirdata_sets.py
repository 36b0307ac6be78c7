"""TinySOL's folder in its official form, read by mirdata; what is told where something is wrong."""

import json
import sys
from pathlib import Path

import pytest

from pipeline.audio.fetching.fetch import open_source, place_of
from pipeline.audio.segment import get_segment
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.build import BuildConfig
from pipeline.datasets.build_plan import make_plan
from pipeline.errors import UsageError
from pipeline.selection import instrument_names
from pipeline.selection.vocabulary import audioset_mids, default_vocabulary

ELEVEN = default_vocabulary().codes
HEAD = (
    "Path,Fold,Family,Instrument (abbr.),Instrument (in full),Technique (abbr.),"
    "Technique (in full),Pitch,Pitch ID,Dynamics,Dynamics ID,Instance ID,String ID (if applicable),"
    "Needed digital retuning"
)
NOTES = {
    "Winds/Flute/ordinario/Fl-ord-C4-mf-N-T14d": (0, "Flute"),
    "Strings/Violoncello/ordinario/Vc-ord-C4-mf-2c-N": (3, "Violoncello"),
    "Strings/Viola/ordinario/Va-ord-C4-mf-3c-N": (4, "Viola"),
}


@pytest.fixture
def folder(make_wav, tmp_path: Path, monkeypatch) -> Path:
    """Return a folder as mirdata downloads it, and an index of it where mirdata looks for one."""
    try:
        from mirdata.datasets import tinysol
    except ImportError as error:
        pytest.skip(f"needs mirdata: pip install '.[mirdata]' ({error})")
    root, lines, index = tmp_path / "tinysol", [HEAD], {}
    for name, (fold, instrument) in NOTES.items():
        make_wav(f"tinysol/audio/{name}.wav", 0.5, 262.0)
        family = name.partition("/")[0]
        row = (f"{name}.wav", fold, family, "X", instrument, "ord", "ordinario", "C4", 60, "mf", 2)
        lines.append(",".join(map(str, (*row, 0, "", "FALSE"))))
        files = {"audio": [f"audio/{name}.wav", "0"]}
        index[Path(name).name] = files
    (root / "annotation").mkdir()
    (root / "annotation" / "TinySOL_metadata.csv").write_text("\n".join([*lines, ""]))
    (tmp_path / "tinysol_index_6.0.json").write_text(json.dumps({"version": 1, "tracks": index}))
    monkeypatch.setattr(tinysol.INDEXES["6.0"], "indexes_dir", str(tmp_path))
    return root


def config_of(folder: Path, name: str = "tinysol", **settings: object) -> BuildConfig:
    return BuildConfig((), str(folder.parent / "ds"), f"mirdata:{name}:{folder}", **settings)


def test_a_note_has_its_instrument_and_no_other(folder):
    plan = make_plan(config_of(folder))
    assert (plan.identity().split, plan.vocabulary.codes) == ("mirdata:tinysol", ELEVEN)
    rows = {row["ytid"].split("-")[0]: row for row in plan.segments.to_pylist()}
    assert {key: (row["split"], row["classes"], row["unknown"]) for key, row in rows.items()} == {
        "Fl": ("train", ["flu"], []),
        "Vc": ("val", ["cel"], []),
        "Va": ("test", [], []),  # AudioSet has no viola, so it is none of the eleven
    }
    source = open_source(config_of(folder).source)
    got = [get_segment(source, row, LogMelSpec()) for row in rows.values()]
    assert [one.ledger["outcome"] for one in got] == ["ok"] * 3
    assert {one.clip["n_samples"] for one in got} == {22_050}


def test_workers_need_no_mirdata(folder, monkeypatch):
    row = make_plan(config_of(folder)).segments.to_pylist()[0]
    monkeypatch.setitem(sys.modules, "mirdata", None)
    source = open_source(config_of(folder).source)
    assert get_segment(source, row, LogMelSpec()).ledger["outcome"] == "ok"


def test_an_instrument_that_is_not_known_is_told(folder):
    path = folder / "annotation" / "TinySOL_metadata.csv"
    path.write_text(path.read_text().replace("Viola,", "Nose Flute,"))
    with pytest.raises(UsageError, match=r"no AudioSet id .* 'Nose Flute'; add it to pipeline/sel"):
        make_plan(config_of(folder))


@pytest.mark.parametrize("name", ["annotation/TinySOL_metadata.csv", "../tinysol_index_6.0.json"])
def test_what_is_not_downloaded_is_told_in_a_line(folder, name):
    (folder / name).unlink()
    with pytest.raises(UsageError, match=r"tinysol:.*download.*; run .*\.download\(\)") as told:
        make_plan(config_of(folder))
    assert "\n" not in str(told.value)


def test_without_mirdata_a_line_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mirdata", None)
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError, match=r"mirdata: needs mirdata: pip install '\.\[mird"):
        make_plan(config_of(tmp_path / "x"))


@pytest.mark.parametrize("text", ["beatles:DIR", "tinysol", "tinysol:", ":DIR", ""])
def test_an_unknown_set_is_told_with_those_that_are_known(text):
    with pytest.raises(UsageError, match="expected mirdata:NAME:DIR, and NAME one of good_sounds"):
        open_source(f"mirdata:{text}")


def test_a_set_without_a_split_of_its_own_is_divided_by_the_flag(tmp_path):
    (tmp_path / "x").mkdir()
    config = config_of(tmp_path / "x", "orchset", split="audioset")
    with pytest.raises(UsageError, match=r"--split audioset: .* is no part of AudioSet; expected"):
        make_plan(config)


def test_the_path_stands_behind_the_name():
    assert place_of("mirdata:tinysol:data/a:b") == ("mirdata:tinysol:", "data/a:b")
    assert place_of("mirdata:tinysol") == ("mirdata:tinysol", None)


def test_all_names_stand_for_ids_of_audioset():
    named = [mids for mids in instrument_names._MIDS.values()]
    assert frozenset().union(*named) <= audioset_mids()
    assert instrument_names.mids_of_name("Cello Section") == {"/m/01xqw"}


SOUND = {"id": 1, "instrument": "sax_alto", "pack_id": 7, "klass": "good-sound"}
ORCHSET = "Orchset - Predominant Melodic Instruments.csv"
SETS = {
    "good_sounds": (
        {
            "sounds.json": json.dumps({"1": SOUND}),
            "takes.json": json.dumps({"t": {"id": "t", "sound_id": 1, "microphone": "akg"}}),
            "packs.json": json.dumps({"7": {"id": 7, "name": "sax"}}),
            "ratings.json": "{}",
        },
        {"t": {"audio": ["good-sounds/sound_files/sax/akg/0000.wav", "0"]}},
        (["sax"], 0, "7"),
    ),
    "medley_solos_db": (
        {
            "annotation/Medley-solos-DB_metadata.csv": (
                "subset,instrument,instrument_id,song_id,uuid4\n"
                "validation,distorted electric guitar,1,19,u\n"
            )
        },
        {"u": {"audio": ["audio/Medley-solos-DB_validation-1_u.wav", "0"]}},
        (["gel"], 0, "19"),
    ),
    "medleydb_pitch": (
        {
            "medleydb_pitch_metadata.json": json.dumps(
                {"A_B_STEM_01": {"instrument": "male singer", "artist": "A", "title": "B"}}
            )
        },
        {
            "A_B_STEM_01": {
                "audio": ["audio/A_B_STEM_01.wav", "0"],
                "pitch": ["pitch/A_B_STEM_01.csv", "0"],
                "notes_pyin": [None, None],
            }
        },
        (["voi"], 0, "A"),
    ),
    "orchset": (
        {ORCHSET: "Beethoven-S3-I-ex1.wav,flute+strings,TRUE,TRUE,TRUE,FALSE,FALSE,FALSE,FALSE\n"},
        {
            "Beethoven-S3-I-ex1": {
                "audio_mono": ["audio/mono/Beethoven-S3-I-ex1.wav", "0"],
                "audio_stereo": ["audio/stereo/Beethoven-S3-I-ex1.wav", "0"],
                "melody": ["GT/Beethoven-S3-I-ex1.mel", "0"],
            }
        },
        (["flu"], 10, "Beethoven S3-I"),  # only what plays the melody is named
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_other_sets_of_mirdata(name, make_wav, tmp_path, monkeypatch):
    """A track of each, in the form that mirdata's loader reads."""
    module = f"mirdata.datasets.{name}"
    indexes = pytest.importorskip(module, reason="needs pip install '.[mirdata]'").INDEXES
    files, tracks, expected = SETS[name]
    root = tmp_path / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for track in tracks.values():
        audio = next(iter(track.values()))[0]
        make_wav(f"{name}/{audio}", 0.5, 440.0)
    index = indexes[indexes["default"]]
    (tmp_path / index.filename).write_text(json.dumps({"version": "1", "tracks": tracks}))
    monkeypatch.setattr(index, "indexes_dir", str(tmp_path))
    (row,) = make_plan(config_of(root, name)).segments.to_pylist()
    assert (row["classes"], len(row["unknown"]), row["group"]) == expected
    got = get_segment(open_source(config_of(root, name).source), row, LogMelSpec())
    assert got.ledger["outcome"] == "ok"
    assert name != "medley_solos_db" or row["split"] == "val"
