"""The demo's corpus: what it promises, that it sounds, and that a wrong trim would show."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.demo.corpus import (
    Video,
    faults_of,
    plan_corpus,
    render_corpus,
    write_segments_csv,
)
from pipeline.demo.media_server import Fault
from pipeline.errors import DecodeError
from pipeline.selection.audioset import read_segments
from pipeline.selection.select import select
from pipeline.selection.vocabulary import audioset_mids, default_vocabulary
from tests.demo.conftest import SEED

CODES = default_vocabulary().codes


@pytest.fixture(scope="module")
def plan() -> list[Video]:
    return plan_corpus(SEED)


def test_a_plan_is_the_same_for_a_seed(plan):
    assert plan_corpus(SEED) == plan != plan_corpus(SEED + 1)


def test_the_plan_keeps_its_promises(plan):
    good = [video for video in plan if video.fault is Fault.NONE]
    counts = Counter(code for video in good for code in video.codes)
    assert set(counts) == set(CODES)
    assert len(good) == 280
    assert min(counts.values()) >= 24
    sizes = Counter(len(video.codes) for video in good)
    assert sizes[2] >= 25
    assert sizes[3] >= 5
    assert sizes[0] >= 3  # rows that must not be selected
    assert all(video.duration_s <= 90 for video in plan)
    assert all(video.end_s <= video.duration_s <= video.end_s + 4 for video in plan)
    assert all(0 <= video.start_s < video.end_s for video in plan)
    ids = [video.ytid for video in plan]
    assert len(set(ids)) == len(ids)
    assert any(i.startswith("--") for i in ids)
    assert any("_" in i for i in ids)
    assert Counter(faults_of(plan).values()) == {
        Fault.MISSING: 4,
        Fault.TRUNCATED: 2,
        Fault.NOT_AUDIO: 2,
    }
    for video in plan:
        assert not set(video.sounds) & set(video.before + video.after)
        assert video.fault is not Fault.TRUNCATED or video.start_s > 0.6 * video.duration_s


def test_segments_lie_as_those_of_audioset_do(plan):
    assert 20 <= np.median([video.duration_s for video in plan]) <= 28
    starts_s = Counter(video.start_s for video in plan)
    assert all(starts_s[start_s] >= 5 for start_s in (0.0, 10.0, 20.0, 30.0))
    assert 5 <= sum(video.start_s % 1 > 0 for video in plan) <= 30
    lengths_s = Counter(round(video.end_s - video.start_s, 1) for video in plan)
    assert 5 <= len(plan) - lengths_s[10.0] <= 30
    assert min(lengths_s) >= 7


def test_the_csv_is_googles_to_the_byte(tmp_path):
    plan = [
        Video(ytid, subset, 40.0, start_s, end_s, mids, (), (), (), (), Fault.NONE, "")
        for ytid, subset, start_s, end_s, mids in [
            ("--PJHxphWEs", "balanced_train", 30.0, 40.0, ("/m/09x0r", "/t/dd00088")),
            ("-0Sd_VK79lg", "eval", 0.0, 10.0, ("/m/04rlf",)),
            ("Agi5ySKb1tY", "balanced_train", 23.7, 31.2, ("/m/09x0r",)),
        ]
    ]
    train, evaluation = write_segments_csv(plan, tmp_path, created_s=1_488_711_271)
    assert train.name == "balanced_train_segments.csv"
    assert train.read_bytes() == (
        b"# Segments csv created Sun Mar  5 10:54:31 2017\n"
        b"# num_ytids=2, num_segs=2, num_unique_labels=2, num_positive_labels=3\n"
        b"# YTID, start_seconds, end_seconds, positive_labels\n"
        b'--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n'
        b'Agi5ySKb1tY, 23.700, 31.200, "/m/09x0r"\n'
    )
    assert evaluation.name == "eval_segments.csv"
    assert evaluation.read_bytes().splitlines()[3:] == [b'-0Sd_VK79lg, 0.000, 10.000, "/m/04rlf"']


def test_selection_finds_the_planned_classes_in_the_csv(plan, tmp_path):
    videos = {video.ytid: video for video in plan}
    rows = 0
    for sheet in write_segments_csv(plan, tmp_path):
        head = sheet.read_text().splitlines()[:4]
        assert [line[0] for line in head[:3]] == ["#"] * 3
        assert head[2] == "# YTID, start_seconds, end_seconds, positive_labels"
        with sheet.open("rb") as stream:
            table = read_segments(stream, name=sheet.name, known_mids=audioset_mids())
        rows += table.num_rows
        for row in select(table, default_vocabulary()).to_pylist():
            assert row["classes"] == list(videos.pop(row["ytid"]).codes)
    assert rows == len(plan)
    assert all(not video.codes for video in videos.values())


def mean_db(samples: np.ndarray) -> np.ndarray:
    return log_mel(samples, LogMelSpec()).mean(axis=1)


def test_videos_sound_all_through_and_differ_outside_the_segment(small_plan, videos: Path):
    for video in small_plan:
        path = videos / f"{video.ytid}.webm"
        samples = decode(path, sample_rate_hz=44_100)
        assert len(samples) / 44_100 == pytest.approx(video.duration_s, abs=0.05)
        assert (np.abs(samples) > 1).mean() < 1e-4  # what Opus adds to peaks
        first, last = (round(t * 44_100) for t in (video.start_s, video.end_s))
        seconds = samples[first:last][: (last - first) // 44_100 * 44_100].reshape(-1, 44_100)
        loudness_db = 10 * np.log10((seconds**2).mean(axis=1) + 1e-12)
        assert loudness_db.min() > -50, video
        assert -36 < 10 * np.log10((samples[first:last] ** 2).mean()) < -8
        inside = mean_db(samples[first:last])
        outside = mean_db(np.concatenate([samples[:first], samples[last:]]))
        assert np.abs(inside - outside).mean() > 2, video


def test_a_second_render_makes_only_what_is_missing(small_plan, videos: Path):
    assert render_corpus(small_plan, videos, workers=1) == []
    victim = videos / f"{small_plan[0].ytid}.webm"
    before = victim.read_bytes()
    victim.unlink()
    assert render_corpus(small_plan, videos, workers=1) == [victim]
    whole, again = (decode(data, sample_rate_hz=44_100) for data in (before, victim.read_bytes()))
    np.testing.assert_array_equal(whole, again)


def test_the_catalogue_has_every_format_and_its_hostile_files_are_hostile(library):
    folder, tracks = library
    assert len({track.recording.path.suffix for track in tracks}) == 7
    for track in tracks:
        samples = decode(track.recording.path, sample_rate_hz=44_100)
        planned_s = track.recording.sections[-1].end_s
        assert len(samples) / 44_100 == pytest.approx(planned_s, abs=0.1)
        assert 10 * np.log10((samples**2).mean()) > -40
    broken = list((folder / "broken").iterdir())
    assert len(broken) >= 5
    for path in broken:
        with pytest.raises(DecodeError):
            decode(path, sample_rate_hz=44_100)
    truth = (folder.with_name("truth.csv")).read_text().splitlines()
    assert truth[0] == "uri,labels"
    assert len(truth) == 1 + len(tracks)
