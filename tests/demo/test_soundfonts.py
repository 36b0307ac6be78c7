"""Soundfonts: found once each, left out where they lack something, chosen by the seed."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.demo.compose import Section
from pipeline.demo.idioms import SOUNDS
from pipeline.demo.recording import Recording, record, with_soundfont, write_chosen
from pipeline.demo.soundfonts import (
    WHEEL,
    Soundfont,
    chosen,
    found,
    programs_of,
    soundfont_bytes,
    usable,
)
from pipeline.errors import UsageError

CELLO = 42
FINGERPRINT = "d36d106b678f3c1c63bc331b"  # of a version that knew no other soundfonts


@pytest.fixture(autouse=True)
def _no_other_soundfont(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIMBRE_SOUNDFONT", raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fonts as machines have them: a whole one, a link to it, one without a cello, a broken one."""
    folder, whole = tmp_path_factory.mktemp("fonts"), soundfont_bytes("")
    (folder / WHEEL).write_bytes(whole)
    (folder / "whole.sf2").write_bytes(whole)
    (folder / "default-GM.sf2").symlink_to(folder / "whole.sf2")
    (folder / "no cello.sf2").write_bytes(without(whole, CELLO))
    (folder / "broken.sf3").write_bytes(whole[:5000])
    (folder / "notes.txt").write_text("no soundfont")
    return folder


def without(font: bytes, program: int) -> bytes:
    """The soundfont with a program in another bank."""
    head = font.index(b"phdr") + 8
    rows = range(head, head + int.from_bytes(font[head - 4 : head], "little"), 38)
    changed = bytearray(font)
    for row in rows:
        if font[row + 20 : row + 24] == program.to_bytes(2, "little") + b"\0\0":
            changed[row + 22 : row + 24] = (7).to_bytes(2, "little")
    return bytes(changed)


def recording(path: Path, seed: str = "0", sounds: tuple[str, ...] = ("cel",)) -> Recording:
    return Recording(path, seed, (Section(0.0, 2.0, sounds),), (0.0, 2.0), 22_050, 1)


def test_wheels_font_has_every_general_midi_program_and_drums() -> None:
    programs = programs_of(soundfont_bytes(""))
    assert {(0, program) for program in range(128)} | {(128, 0)} <= programs
    with pytest.raises(ValueError, match="no soundfont"):
        programs_of(b"RIFF1234WAVEfmt ")


def test_each_file_is_found_once_and_the_wheels_own_never(folder: Path) -> None:
    names = [Path(path).name for path in found([str(folder), str(folder), "/nowhere"])]
    assert names == ["broken.sf3", "no cello.sf2", "whole.sf2"]


def test_what_lacks_something_is_a_line(folder: Path) -> None:
    fonts, lines = usable(folders=[str(folder)])
    assert [font.name for font in fonts] == [WHEEL, "no cello.sf2", "whole.sf2"]
    assert [SOUNDS.keys() - font.sounds for font in fonts] == [set(), {"cel"}, set()]
    broken, no_cello = lines
    assert broken.startswith(f"{folder}/broken.sf3: left out, as the synthesizer cannot read it: ")
    assert no_cello == f"{folder}/no cello.sf2: not used for cel: it lacks their programs"


def test_named_fonts_are_the_only_ones(folder: Path) -> None:
    fonts, lines = usable([str(folder / "whole.sf2")], [str(folder)])
    assert ([font.name for font in fonts], lines) == (["whole.sf2"], [])
    with pytest.raises(UsageError, match=r"nowhere\.sf2: no such file"):
        usable(["nowhere.sf2"])
    with pytest.raises(UsageError, match="broken"):
        usable([str(folder / "broken.sf3")])


def test_machine_without_fonts_renders_what_it_always_did(tmp_path: Path) -> None:
    fonts, lines = usable(folders=["/nowhere"])
    assert ([font.path for font in fonts], lines) == ([""], [])
    plain = recording(tmp_path / "x.wav")
    assert with_soundfont(plain, fonts) == with_soundfont(plain, ()) == plain
    assert plain.fingerprint == FINGERPRINT
    assert replace(plain, soundfont="/a.sf2").fingerprint != FINGERPRINT


def test_seed_chooses_among_the_fonts_that_have_the_sounds() -> None:
    everything = frozenset(SOUNDS)
    fonts = [Soundfont(f"{k}.sf2", everything - ({"cel"} if k else set())) for k in range(3)]
    names = {chosen(fonts, {"pia"}, str(seed)).name for seed in range(40)}
    assert names == {"0.sf2", "1.sf2", "2.sf2"}
    assert {chosen(fonts, {"cel", "pia"}, str(seed)).name for seed in range(20)} == {"0.sf2"}
    assert chosen(fonts, {"pia"}, "7") == chosen(fonts, {"pia"}, "7")


def test_recording_is_played_by_its_font_and_the_csv_says_so(folder: Path, tmp_path: Path) -> None:
    plain = recording(tmp_path / "plain.wav")
    other = replace(recording(tmp_path / "other.wav"), soundfont=str(folder / "no cello.sf2"))
    assert record(plain).read_bytes()[100:] != record(other).read_bytes()[100:]
    write_chosen(tmp_path, [plain, other])
    with (tmp_path / "soundfonts.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["file", "soundfont"],
            ["plain.wav", WHEEL],
            ["other.wav", "no cello.sf2"],
        ]
