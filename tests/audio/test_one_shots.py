"""Folders of kits: which sounds are taken, as what, and where they go."""

import json

import numpy as np
import pytest
import soundfile

from pipeline.audio.fetching.fetch import open_source
from pipeline.audio.fetching.sources.one_shots import BESIDE, TOO_LONG, list_one_shots, sound_s
from pipeline.audio.segment import get_segment
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.build import BuildConfig
from pipeline.datasets.build_plan import make_plan
from pipeline.errors import UsageError
from pipeline.selection.splits import SPLITS

KITS = ("kit0", "kit1", "kit2", "kit3", "kit4", "kit5", "kit6", "kit7")


def drum(seconds: float, tail_s: float = 0.0, rate_hz: int = 22_050) -> np.ndarray:
    """Return noise of some seconds, and silence behind it."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate_hz))
    return np.append(noise, np.zeros(round(tail_s * rate_hz))).astype(np.float32)


@pytest.fixture
def kits(tmp_path):
    """Give a folder of eight kits, with files in three formats and at two depths."""
    for k, kit in enumerate(KITS):
        (tmp_path / "kits" / kit / "snares").mkdir(parents=True)
        soundfile.write(tmp_path / "kits" / kit / "kick.wav", drum(0.2 + 0.05 * k), 22_050)
        soundfile.write(tmp_path / "kits" / kit / "snares" / "1.flac", drum(0.3, 2.0), 22_050)
    soundfile.write(tmp_path / "kits" / "kit0" / "loop.ogg", drum(1.5), 22_050)
    soundfile.write(tmp_path / "kits" / "lost.wav", drum(0.2), 22_050)
    (tmp_path / "kits" / "kit0" / "readme.txt").write_text("a kit")
    return tmp_path / "kits"


def config_of(kits, **settings) -> BuildConfig:
    return BuildConfig((), str(kits.parent / "ds"), f"one-shots:{kits}", **settings)


def test_a_sound_ends_where_it_has_fallen_40_db_for_good():
    assert sound_s(np.float32([0, 1, 0.02, 0.001, 0.02, 0.005]), 2) == 2.5
    assert sound_s(np.zeros(4, np.float32), 2) == 2.0  # silence: none is quieter than the rest
    assert sound_s(np.zeros(0, np.float32), 2) == 0.0


def test_kits_are_groups_and_what_is_no_short_sound_is_left_out(kits):
    clips, labelling = list_one_shots(str(kits))
    assert not labelling.mids and not labelling.is_complete
    left_out = {clip.id.rpartition("-")[0]: clip.left_out for clip in clips if clip.left_out}
    assert left_out == {"loop": TOO_LONG, "lost": BESIDE}
    taken = [clip for clip in clips if not clip.left_out]
    assert len(taken) == 2 * len(KITS) and {clip.group for clip in taken} == set(KITS)
    lengths = {clip.group: clip.duration_s for clip in taken if clip.id.startswith("kick")}
    assert lengths["kit4"] == pytest.approx(0.4, abs=0.01)
    snares = [clip.duration_s for clip in taken if clip.id.startswith("1-")]
    assert snares == pytest.approx([0.3] * len(KITS), abs=0.01)  # without the silence behind


def test_a_kit_is_in_one_split_and_all_classes_are_unknown(kits, capsys):
    plan = make_plan(config_of(kits))
    rows = plan.segments.to_pylist()
    splits = {kit: {row["split"] for row in rows if row["group"] == kit} for kit in KITS}
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == set(SPLITS)
    assert all(row["unknown"] == plan.vocabulary.codes and not row["classes"] for row in rows)
    assert plan.identity().split == "one-shots"
    assert plan.counts["chosen"] == 16
    said = capsys.readouterr().err
    assert "left out: 1 sounds that last longer than 1 s" in said and BESIDE in said


def test_a_clip_is_the_sound_without_its_silence(kits):
    source = open_source(f"one-shots:{kits}")
    row = next(r for r in make_plan(config_of(kits)).segments.to_pylist() if r["ytid"][0] == "1")
    got = get_segment(source, row, LogMelSpec())
    assert got.ledger["outcome"] == "ok"
    assert got.clip["n_samples"] == pytest.approx(0.3 * 44_100, rel=0.02)


def test_what_does_not_decode_is_told_by_the_build(kits):
    (kits / "kit1" / "broken.wav").write_bytes(b"no sound")
    rows = make_plan(config_of(kits)).segments.to_pylist()
    (broken,) = [row for row in rows if row["ytid"].startswith("broken")]
    got = get_segment(open_source(f"one-shots:{kits}"), broken, LogMelSpec())
    assert (got.ledger["outcome"], got.ledger["reason"]) == ("rejected", "not_audio")


def test_a_folder_that_is_no_folder_of_kits_is_told(kits, tmp_path):
    with pytest.raises(UsageError, match="one-shots:/nowhere: no such folder; name the folder of"):
        open_source("one-shots:/nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no sound of at most 1 s in a folder there; .*KIT/\*"):
        make_plan(BuildConfig((), "ds", f"one-shots:{tmp_path / 'empty'}"))
    for kit in KITS[1:]:
        (kits / kit).rename(tmp_path / kit)
    with pytest.raises(UsageError, match=r"of 1 kits none falls into .*; add kits, or divide"):
        make_plan(config_of(kits))


def test_freesounds_one_shots_by_mirdata_need_no_labels(make_wav, tmp_path, monkeypatch):
    try:
        from mirdata.datasets import freesound_one_shot_percussive_sounds as module
    except ImportError as error:
        pytest.skip(f"needs mirdata: pip install '.[mirdata]' ({error})")
    root, tracks = tmp_path / "fs", {}
    for name in ("1", "2"):
        make_wav(f"fs/audio/{name}.wav", 0.4, 300.0)
        tracks[name] = {"audio": [f"audio/{name}.wav", "0"], "analysis": [None, None]}
    (root / "sound_info_analysis.json").write_text(json.dumps([{"id": 1}, {"id": 2}]))
    users = {"1": {"username": "a"}, "2": {"username": "b"}}
    (root / "licenses.txt").write_text(json.dumps(users))
    index = module.INDEXES["1.0"]
    (tmp_path / index.filename).write_text(json.dumps({"version": 1, "tracks": tracks}))
    monkeypatch.setattr(index, "indexes_dir", str(tmp_path))
    source = f"mirdata:freesound_one_shot_percussive_sounds:{root}"
    plan = make_plan(BuildConfig((), str(tmp_path / "ds"), source, split="50/25/25"))
    rows = plan.segments.to_pylist()
    assert {row["group"] for row in rows} == {"a", "b"}
    assert all(row["unknown"] == plan.vocabulary.codes for row in rows)
