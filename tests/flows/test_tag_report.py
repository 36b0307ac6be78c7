"""The report of a tagging folder: its run's rows, the run before, and tracks that may be gone."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.fingerprint import fingerprint
from pipeline.audio.decoding.guard import Guard
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec, cut_windows, window_starts
from pipeline.evaluation.runs.tally import N_BINS
from pipeline.flows.tagging.tag import TagConfig, tag_catalog
from pipeline.models.engines import engines
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import Architecture, ModelCard, Tagger, load_model, save_model
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.worklist import text_hashes
from pipeline.tagging.page.tag_examples import CLIP_S, Listener
from pipeline.tagging.page.tag_report import find_failures, run_before, write_report
from schemas.tagging_run import TaggingRun
from schemas.tags import tags_schema
from tests.conftest import tones
from tests.models.test_engines import by_model

CODES = default_vocabulary().codes
BEGAN = datetime(2026, 11, 21, 2, 15, tzinfo=UTC)
HOSTILE = "a <script>alert('1')</script> \"b\" & c.wav".replace("/", "\u2044")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> tuple[Path, ModelCard]:
    """Save a model that has learnt nothing, but is sure of it: its scores differ by window."""
    torch.manual_seed(0)
    architecture = Architecture("resnet10t", len(CODES), (32, 32))
    card = ModelCard(
        architecture=architecture,
        vocabulary=default_vocabulary(),
        input_spec=LogMelInput(LogMelSpec()),
        windows=WindowSpec(),
        aggregation="s1",
        thresholds={"s1": dict.fromkeys(CODES, 0.5)},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    folder = tmp_path_factory.mktemp("model")
    weights = Tagger(architecture).eval().state_dict()
    weights["backbone.fc.weight"] *= 500
    return folder, save_model(Folder(str(folder)), weights, card)


def music(path: Path, seconds: float = 12.0, hz: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tones(seconds, hz), 44_100)
    return path


def tagged(path: Path, code: str | None, score: float = 0.9, **changes) -> dict:
    """Return a row of TAGS of a good track."""
    scores = dict.fromkeys(CODES, 0.1) | ({code: score} if code else {})
    row = {
        "uri": str(path),
        "fingerprint": fingerprint(path),
        "size_bytes": path.stat().st_size,
        "duration_s": soundfile.info(path).duration,
        "status": "ok",
        "reason": "ok",
        "attempts": 1,
        "labels": [code] if code else [],
        "scores": scores,
        "peaks": scores,
        "n_windows": 12,
        "n_active": 12,
        "tagged_at": BEGAN + timedelta(seconds=5),
    }
    return row | changes


def failed(uri: str, **changes) -> dict:
    row = {
        "uri": uri,
        "status": "failed",
        "reason": "not_audio",
        "detail": "no music",
        "labels": [],
    }
    return row | {"attempts": 2, "tagged_at": BEGAN + timedelta(seconds=6)} | changes


def run_of(model_id: str, rows: list[dict], **changes) -> dict:
    """Return run.json of a run that made the rows."""
    good = [row for row in rows if row["status"] == "ok"]
    labels = {code: sum(code in row["labels"] for row in good) for code in CODES}
    return {
        "identity": {
            "model_id": model_id,
            "aggregation": "s1",
            "thresholds": dict.fromkeys(CODES, 0.5),
            "gate": 0.3,
            "activity": {"min_level_dbfs": -60.0, "max_flatness": 0.8},
            "window_s": 1.0,
            "hop_s": 0.5,
            "feature_spec": {},
        },
        "complete": True,
        "run_id": f"{BEGAN:%Y%m%dT%H%M%SZ}",
        "started_at": BEGAN.isoformat(timespec="seconds"),
        "catalog": "/music",
        "tracks": len(rows),
        "tagged": len(good),
        "failed": len(rows) - len(good),
        **dict.fromkeys(("skipped", "unchanged", "same_content", "touched"), 0),
        **dict.fromkeys(("changed", "retried", "gone"), 0),
        "failed_in_all": len(rows) - len(good),
        "audio_s": sum(row["duration_s"] for row in good),
        "seconds": 3.0,
        "stages": {"decode_s": 2.0, "model_s": 1.0},
        "reasons": {"not_audio": len(rows) - len(good)},
        "labels": labels,
        "labels_in_all": labels,
        "unlabelled": sum(not row["labels"] for row in good),
        "histograms": {code: [len(good)] + [0] * (N_BINS - 1) for code in CODES},
        "memory": {"driver_peak_mib": 500},
        "engine": {"name": "torch", "precision": "f32", "note": ""},
        "class_names": default_vocabulary().names,
        "provenance": {},
        **changes,
    }


def commit(out: Path, model_id: str, rows: list[dict], date: str = "2026-11-21") -> None:
    table = pa.Table.from_pylist([row | {"model_id": model_id} for row in rows], tags_schema(CODES))
    TagStore(Folder(str(out))).commit(table, date=date, beside={})


def report(out: Path, model, rows: list[dict], *, n_examples: int = 6, **changes) -> str:
    """Commit the rows, write the report and return it."""
    folder, card = model
    if rows:
        commit(out, card.model_id, rows)
    run = run_of(card.model_id, rows, **changes)
    write_report(str(out), TaggingRun.from_dict(run), model_uri=str(folder), n_examples=n_examples)
    return (out / "report.html").read_text("utf-8")


def sounds(html: str) -> list[np.ndarray]:
    uris = re.findall(r'<audio[^>]* src="data:audio/\w+;base64,([^"]+)"', html)
    return [decode(base64.b64decode(uri), sample_rate_hz=44_100) for uri in uris]


def heard_hz(samples: np.ndarray) -> int:
    return int(np.abs(np.fft.rfft(samples[44_100 : 2 * 44_100])).argmax())


def test_a_run_is_reported(model, tmp_path):
    rows = [
        tagged(music(tmp_path / "cello.wav", 40, 300), "cel", 0.95),
        tagged(music(tmp_path / "dull cello.wav", 5, 350), "cel", 0.8),
        tagged(music(tmp_path / "piano.flac", 6, 500), "pia"),
        tagged(music(tmp_path / "near.wav", 5, 700), None),
        tagged(music(tmp_path / "bare.wav", 3, 900), None),
        failed("/gone/<b>.mp3"),
    ]
    rows[3] |= {"scores": dict.fromkeys(CODES, 0.1) | {"voi": 0.49}}
    rows[4] |= {"peaks": dict.fromkeys(CODES, 0.1) | {"org": 0.2}}
    html = report(tmp_path / "out", model, rows)
    input_spec = sounds(html)
    assert [heard_hz(samples) for samples in input_spec] == [300, 500, 700, 900]
    assert [len(samples) / 44_100 for samples in input_spec] == pytest.approx(
        [CLIP_S, 6, 5, 3], abs=0.1
    )
    for words in (
        "Cello: the highest score, 0.95",
        "Piano: the highest score, 0.90",
        "At the threshold: human voice 0.49, 0.5 is asked for",
        "Without a label: the most evidence is for organ",
        "/gone/&lt;b&gt;.mp3",
        "The first 1 of 1.",
    ):
        assert words in html
    assert "left out" not in html
    assert len(html) < 1_000_000


def test_fewer_examples_or_none(model, tmp_path):
    rows = [tagged(music(tmp_path / f"{code}.wav", 2), code) for code in ("cel", "pia")]
    rows += [tagged(music(tmp_path / "bare.wav", 2, 700), None)]
    assert len(sounds(report(tmp_path / "1", model, rows, n_examples=1))) == 1
    html = report(tmp_path / "0", model, rows, n_examples=0)
    assert "<audio" not in html
    assert "None." in html


def test_what_cannot_be_heard_any_more_is_left_out(model, tmp_path):
    names = ["gone.wav", "other.wav", "broken.flac", "there.wav"]
    paths = [music(tmp_path / name, 3, 300 + 100 * k) for k, name in enumerate(names)]
    rows = [tagged(path, code) for path, code in zip(paths, CODES, strict=False)]
    paths[0].unlink()
    music(paths[1], 2, 50)
    paths[2].write_bytes(paths[2].read_bytes()[:60])
    rows[2]["fingerprint"] = fingerprint(paths[2])
    html = report(tmp_path / "out", model, rows)
    assert [heard_hz(samples) for samples in sounds(html)] == [600]
    assert f"{paths[0]} is left out: no such file." in html
    assert f"{paths[1]} is left out: its audio has changed since it was tagged." in html
    assert f"{paths[2]} is left out: " in html


def test_the_next_best_takes_the_place_of_one_that_is_gone(model, tmp_path):
    best, second = music(tmp_path / "best.wav", 2, 300), music(tmp_path / "second.wav", 2, 400)
    rows = [tagged(best, "cel", 0.99), tagged(second, "cel", 0.9)]
    best.unlink()
    html = report(tmp_path / "out", model, rows, n_examples=1)
    assert [heard_hz(samples) for samples in sounds(html)] == [400]


def test_no_bug_of_an_example_breaks_the_report(model, tmp_path, monkeypatch):
    def fail(self, candidate):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Listener, "example", fail)
    html = report(tmp_path / "out", model, [tagged(music(tmp_path / "a.wav", 2), "cel")])
    assert "left out: ZeroDivisionError: a bug." in html


def test_an_example_is_made_once(model, tmp_path, monkeypatch):
    """The next night takes it from examples.json, as long as all that decides it is the same."""
    out, made = tmp_path / "out", []
    rows = [tagged(music(tmp_path / f"{k}.wav", 2, 300 + 100 * k), CODES[k]) for k in range(2)]
    make = Listener.example

    def example(self, candidate):
        made.append(candidate.code)
        return make(self, candidate)

    monkeypatch.setattr(Listener, "example", example)
    first = report(out, model, rows)
    assert made == [CODES[0], CODES[1]] and len(sounds(first)) == 2
    again = report(out, model, [], tagged=2)
    assert len(made) == 2
    assert sounds_in(again) == sounds_in(first)
    report(out, model, [tagged(music(tmp_path / "new.wav", 2, 900), CODES[2])])
    assert made[2:] == [CODES[2]]
    (out / "examples.json").write_text('{"x": {"title": 1}}')
    assert len(sounds(report(out, model, [], tagged=3))) == 3
    assert len(made) == 6


def sounds_in(html: str) -> list[str]:
    return re.findall(r'<audio[^>]* src="([^"]+)"', html)


def test_without_the_model_there_is_a_page_without_sound(model, tmp_path):
    rows = [tagged(music(tmp_path / "a.wav", 2), "cel")]
    html = report(tmp_path / "out", (tmp_path / "nowhere", model[1]), rows)
    assert "No examples: " in html
    assert "<audio" not in html


def among(*uris: str):
    """Return what says of hashes which are those of a catalogue's uris."""
    return lambda hashes: np.isin(hashes, text_hashes(pa.array(uris)))


def test_the_failed_tracks_are_the_catalogue_s_and_the_run_s_own_come_first(model, tmp_path):
    out, card = tmp_path / "out", model[1]
    early = {"tagged_at": BEGAN - timedelta(seconds=1)}
    before = {"tagged_at": BEGAN - timedelta(days=1), "reason": "incomplete"}
    commit(out, card.model_id, [failed("/early.mp3", **early), failed("/gone.mp3", **early)])
    commit(out, card.model_id, [failed("/before.mp3", **before)], date="2026-11-20")
    commit(out, "other-model", [failed("/other model.mp3")])
    rows = [failed("/mine.mp3")]
    commit(out, card.model_id, rows)
    run = run_of(card.model_id, rows, tracks=3, failed_in_all=3)
    is_there = among("/early.mp3", "/before.mp3", "/mine.mp3")
    write_report(str(out), TaggingRun.from_dict(run), model_uri=str(model[0]), is_there=is_there)
    html = (out / "report.html").read_text("utf-8")
    assert re.findall(r"<td>(/[a-z ]+)\.mp3</td>", html) == ["/mine", "/before", "/early"]
    assert "The first 3 of 3." in html
    found = find_failures(Folder(str(out)), TaggingRun.from_dict(run), is_there)
    assert found.reasons == {"not_audio": 2, "incomplete": 1}


def test_a_quiet_night_takes_nothing_from_the_page(model, tmp_path):
    out, folder = tmp_path / "out", Folder(str(tmp_path / "out"))
    first = [tagged(music(tmp_path / "cello.wav", 3, 300), "cel"), failed("/bad.mp3")]
    second = [tagged(music(tmp_path / "gone.wav", 3, 400), "pia", 0.95)]
    run = run_of(model[1].model_id, first + second)
    folder.write_json(f"runs/{run['run_id']}.json", run)
    busy = report(out, model, first + second)
    at = BEGAN + timedelta(days=1)
    quiet = run | {
        **{"run_id": f"{at:%Y%m%dT%H%M%SZ}", "started_at": at.isoformat(timespec="seconds")},
        **dict.fromkeys(("tagged", "failed", "audio_s", "unlabelled"), 0),
        **{"unchanged": 2, "reasons": {}, "stages": {}, "histograms": {}, "engine": {}},
        **{"labels_of_run": dict.fromkeys(CODES, 0), "tracks": 2, "gone": 1},
    }
    is_there = among(first[0]["uri"], first[1]["uri"])
    write_report(str(out), TaggingRun.from_dict(quiet), model_uri=str(model[0]), is_there=is_there)
    html = (out / "report.html").read_text("utf-8")
    assert [heard_hz(samples) for samples in sounds(html)] == [300]
    assert "left out" not in html
    assert "<td>/bad.mp3</td>" in html
    assert "Nothing unusual" not in html
    pages = list((out / "runs").glob("*.html"))
    assert [page.name for page in pages] == [f"{run['run_id']}.html"]
    assert pages[0].read_text("utf-8") == busy


def test_the_first_failed_tracks_over_many_files(model, tmp_path):
    out, card = tmp_path / "out", model[1]
    rows = [failed(f"/{k:03d}.mp3") for k in range(130)]
    for start in range(0, 120, 40):
        commit(out, card.model_id, rows[start + 10 : start + 50][::-1])
    run = run_of(card.model_id, rows)
    commit(out, card.model_id, rows[:10])
    write_report(str(out), TaggingRun.from_dict(run), model_uri=str(model[0]))
    html = (out / "report.html").read_text("utf-8")
    assert re.findall(r"<td>/(\d+)\.mp3</td>", html) == [f"{k:03d}" for k in range(50)]
    assert "The first 50 of 130." in html


def test_hostile_names(model, tmp_path):
    path = music(tmp_path / HOSTILE, 2)
    html = report(tmp_path / "out", model, [tagged(path, "cel"), failed(f"/{HOSTILE}")])
    assert len(sounds(html)) == 1
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#39;1&#39;)") == 2


def test_nothing_new(model, tmp_path):
    html = report(tmp_path / "out", model, [], tracks=40, unchanged=40)
    assert "Nothing new: all 40 tracks of /music have their tags." in html


def test_the_run_before(model, tmp_path):
    folder, out = Folder(str(tmp_path)), tmp_path
    run = run_of("m", [failed("/a.mp3")]) | {"labels_of_run": {}, "key_of_a_later_version": 1}
    older = run_of("m", [failed("/a.mp3")]) | {"run_id": "20261101T000000Z", "catalog": "/music/"}
    rows = {
        "20261101T000000Z": older,
        "20261102T000000Z": run | {"identity": run["identity"] | {"gate": 0.4}},
        "20261103T000000Z": run | {"complete": False},
        "20261104T000000Z": run | {"tagged": 0, "failed": 0},
        "20261105T000000Z": {"identity": run["identity"], "complete": True},
        "20261107T000000Z": run | {"retried": 1},  # only tried failed tracks again
        "20261108T000000Z": run | {"catalog": "/music/one.mp3"},
        run["run_id"]: run,
        "20261122T000000Z": run | {"run_id": "20261122T000000Z"},
    }
    assert run_before(folder, TaggingRun.from_dict(run)) is None
    for run_id, values in rows.items():
        folder.write_json(f"runs/{run_id}.json", values)
    (out / "runs" / "20261106T000000Z.json").write_text("{cut sh")
    assert run_before(folder, TaggingRun.from_dict(run)) == TaggingRun.from_dict(older)


def test_the_clip_is_the_best_stretch_of_the_track_s_own_windows(model, tmp_path):
    """What is drawn are scores that tagging the whole track gives, where they are largest."""
    folder, card = model
    path = tmp_path / "long.wav"
    pieces = [tones(2.5, 110 * 2 ** (k / 4)) * (k % 7 != 3) for k in range(26)]
    soundfile.write(path, np.concatenate(pieces), 44_100)
    run = TaggingRun.from_dict(run_of(card.model_id, []))
    with Guard() as guard:
        stretch = Listener(make_engine(str(folder), precision="f32"), card, run, guard).stretch(
            tagged(path, "cel"), "cel"
        )
    windows = WindowSpec(1.0, 0.5)
    matrix = card.input_spec.matrix(decode(path, sample_rate_hz=44_100))
    starts = window_starts(matrix.shape[1], windows, card.input_spec)
    cut = cut_windows(
        matrix, starts, windows.n_frames(card.input_spec), silence=card.input_spec.silence
    )
    scores = by_model(str(folder), cut)
    first = round(stretch.start_s / windows.hop_s)
    n_windows = len(stretch.scores)
    assert n_windows == 15
    np.testing.assert_allclose(stretch.scores, scores[first : first + n_windows], atol=1e-3)
    means = np.convolve(scores[:, 0], np.ones(15) / 15, "valid")[35:79]  # of 17.5 s to 47.5 s
    assert stretch.scores[:, 0].mean() == pytest.approx(means.max(), abs=1e-3)
    assert np.ptp(means) > 0.03  # there was something to choose
    assert stretch.duration_s == CLIP_S


def test_silence_does_not_count(model, tmp_path):
    folder, card = model
    path = tmp_path / "half.wav"
    soundfile.write(path, np.concatenate([tones(4, 440), np.zeros(4 * 44_100)]), 44_100)
    with Guard() as guard:
        run = TaggingRun.from_dict(run_of(card.model_id, []))
        listener = Listener(make_engine(str(folder), precision="f32"), card, run, guard)
        assert (
            listener.stretch(tagged(path, "cel"), "cel").active.tolist() == [True] * 8 + [False] * 7
        )


def test_the_model_that_has_tagged_draws_the_page(model, tmp_path, monkeypatch, in_process):
    loaded = []

    def load(uri):
        loaded.append(uri)
        return load_model(uri)

    monkeypatch.setattr(engines, "load_model", load)
    music(tmp_path / "music" / "a.wav")
    config = TagConfig(str(tmp_path / "music"), str(model[0]), str(tmp_path / "out"))
    assert tag_catalog(config).tagged == 1
    assert len(sounds((tmp_path / "out" / "report.html").read_text("utf-8"))) == 1
    assert loaded == [str(model[0])]
