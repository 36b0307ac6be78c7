"""What a night takes over from nights before it: rows of killed runs, rates, failures."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import tag_catalog as job
from pipeline.errors import SpecMismatch
from pipeline.evaluation.labels.aggregate import TRACKS
from pipeline.evaluation.runs.pace import expected_s
from pipeline.flows.tagging.tag import TagConfig, plan_tagging, tag_catalog
from pipeline.inference.described import describe
from pipeline.inference.tagger import TrackTagger, tables_of
from pipeline.store import catalogue
from pipeline.store.catalogue import list_tracks
from pipeline.store.folder import Folder
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.listing import Listing
from pipeline.tagging.part_steps import plan_part
from pipeline.tagging.tag_claim import check_identity, claim
from pipeline.tagging.tag_inference import inference_of, lineage_of
from tests.conftest import tones
from tests.models.test_engines import write_model
from tests.store.test_tagstore import tags as tag_rows

pytestmark = pytest.mark.usefixtures("in_process")


def test_a_folder_with_several_models(tmp_path):
    """What a killed run of another model left is settled; rates are of runs that did something."""
    store = TagStore(Folder(str(tmp_path)))
    for at, date in enumerate(("2026-01-01", "2026-01-02")):
        store.commit(tag_rows(("a", 1), ("b", at), model_id="B", at=at), date=date, beside={})
    store.folder.write_json("run.json", {"identity": {"model_id": "B"}, "complete": False})
    mine = SimpleNamespace(identity={"model_id": "A"}, card=SimpleNamespace(model_id="A"))
    claim(store, mine)
    assert sorted(row["size_bytes"] for row in store.read().to_pylist()) == [1, 1]
    assert store.folder.read_json("run.json")["identity"] == {"model_id": "A"}
    run = {"identity": {"model_id": "B"}, "complete": True, "seconds": 2.0}
    store.folder.write_json("run.json", run | {"audio_s": 0.0})
    assert expected_s(store.runs("B"), 30.0) is None
    store.folder.write_json("runs/1.json", run | {"audio_s": 30.0})
    assert expected_s(store.runs("B"), 30.0) == 2.0
    assert expected_s(store.runs("A"), 30.0) is None


def test_the_small_files_of_a_killed_night_are_joined_on_a_later_day(tmp_path):
    store = TagStore(Folder(str(tmp_path)))
    for k in range(5):
        store.commit(tag_rows((f"t{k}", k), model_id="B"), date="2026-01-01", beside={})
    store.folder.write_json("run.json", {"identity": {"model_id": "B"}, "complete": False})
    claim(store, SimpleNamespace(identity={"model_id": "A"}))
    assert len(store.files("B")) == 1
    assert store.read().num_rows == 5


def test_rows_of_a_killed_run_say_how_they_were_made(tmp_path):
    """Its run.json may be another model's by the time that the first one goes on."""

    def inference(model_id: str, hop_s: float) -> SimpleNamespace:
        identity = {"model_id": model_id, "hop_s": hop_s, "windows": (1, 2)}
        return SimpleNamespace(identity=identity, card=SimpleNamespace(model_id=model_id))

    store = TagStore(Folder(str(tmp_path)))
    first, other = inference("A", 1.0), inference("B", 1.0)
    check_identity(store, first)
    claim(store, first)
    check_identity(store, inference("A", 2.0))  # killed before its first row: nothing to mix with
    made = {"timbre.tagging": json.dumps(first.identity)}
    rows = tag_rows(("a", 1), model_id="A").replace_schema_metadata(made)
    store.commit(rows, date="2026-01-01", beside={})
    check_identity(store, other)
    claim(store, other)
    check_identity(store, first)
    with pytest.raises(SpecMismatch, match="A has tagged there with another hop_s; give"):
        check_identity(store, inference("A", 2.0))


def test_failed_tracks_that_are_gone_do_not_count(tmp_path):
    store = TagStore(Folder(str(tmp_path)))
    store.commit(tag_rows(("a", 1), ("b", 2), status="failed"), date="2026-01-01", beside={})
    for uris, expected in ((["a", "b", "c"], 2), (["a", "c"], 1), (["c"], 0)):
        here = pa.table(
            {"uri": uris, "size_bytes": [1] * len(uris), "modified_ns": [1] * len(uris)}
        )
        listing = Listing.of([here.cast(catalogue.TRACKS)], store.folder)
        plan = plan_part(*store.parts("m"), listing, retry_failed=False)
        assert plan.as_it_is.n_failed == expected


def test_probabilities_and_scores_do_not_mix(tmp_path):
    """Either way round: rows whose scores are of the aggregation, and rows of probabilities."""

    def inference(**more) -> SimpleNamespace:
        identity = {"model_id": "A", "thresholds": {"cel": 0.5}, **more}
        return SimpleNamespace(identity=identity, card=SimpleNamespace(model_id="A"))

    ways = [inference(), inference(calibration={"method": "platt", "classes": {"cel": {}}})]
    for k, first in enumerate(ways):
        store = TagStore(Folder(str(tmp_path / str(k))))
        made = {"timbre.tagging": json.dumps(first.identity)}
        rows = tag_rows(("a", 1), model_id="A").replace_schema_metadata(made)
        store.commit(rows, date="2026-01-01", beside={})
        check_identity(store, first)
        with pytest.raises(SpecMismatch, match="has tagged there with another calibration; give"):
            check_identity(store, ways[1 - k])


def test_an_older_folder_goes_on_by_s2_and_says_so(tmp_path, capsys):
    """The default has changed since: a night into the same --out must not be refused."""
    model, card = write_model(tmp_path / "m")
    out = tmp_path / "out"
    config = TagConfig("music", model, str(out), activity=False, engine="torch")
    assert inference_of(config).aggregation == TRACKS
    older = inference_of(replace(config, aggregate="s2"))
    assert capsys.readouterr().err == ""
    made = {"timbre.tagging": json.dumps(older.identity)}
    rows = tag_rows(("a", 1), model_id=card.model_id).replace_schema_metadata(made)
    store = TagStore(Folder(str(out)))
    store.commit(rows, date="2026-01-01", beside={})
    inference = inference_of(config)
    assert inference == older
    check_identity(store, inference)
    assert (
        f"{out}: its tags are by s2, and so it goes on; {TRACKS} finds" in capsys.readouterr().err
    )
    asked = inference_of(replace(config, aggregate=TRACKS))
    with pytest.raises(SpecMismatch, match="with another aggregation; give another --out"):
        check_identity(store, asked)


def test_a_quiet_night_says_what_the_catalogue_has(tmp_path, capsys):
    """Three tracks have their rows, and nothing is left to do; of that no Ray is needed."""
    model, _ = write_model(tmp_path / "m")
    music, out = tmp_path / "music", tmp_path / "out"
    music.mkdir()
    for k in range(2):
        soundfile.write(music / f"{k}.wav", tones(3, 330 * (k + 1)), 44_100)
    (music / "bad.mp3").write_bytes(b"no music " * 99)
    flags = {"catalog": str(music), "model": model, "out": str(out), "engine": "torch"}
    inference, store = (
        inference_of(TagConfig(**flags, min_confidence=0.0)),
        TagStore(Folder(str(out))),
    )
    scored = [TrackTagger(inference)(one) for one in describe(list_tracks(str(music)), inference)]
    tags, _ = tables_of(pa.concat_tables(scored), inference)
    rows = tags.replace_schema_metadata(lineage_of(inference))
    store.commit(rows, date="2026-01-01", beside={})
    words = [word for key, value in flags.items() for word in (f"--{key}", value)]
    assert job.main([*words, "--gate", "0"]) == 0
    run = json.loads((out / "run.json").read_text())
    named = Counter(label for row in tags.to_pylist() for label in row["labels"])
    assert sum(named.values()) > 0
    assert run["labels"] == run["labels_in_all"] == {code: named[code] for code in inference.codes}
    assert sum(run["labels_of_run"].values()) == 0
    assert (run["unchanged"], run["failed_in_all"]) == (3, 1)
    html = (out / "report.html").read_text()
    assert f"{music / 'bad.mp3'}</td>" in html
    assert html.count("<audio ") == 2
    assert "1 of 3 tracks have failed (see Failed tracks); nothing else is unusual" in html
    assert not list(out.glob("runs/*"))


def test_a_folder_from_before_there_were_parts_goes_on(tmp_path, capsys):
    """A dry run leaves it as it is; the next night finds nothing new and moves its rows."""
    model, _ = write_model(tmp_path / "m")
    music, out = tmp_path / "music", tmp_path / "out"
    music.mkdir()
    for k in range(3):
        soundfile.write(music / f"{k}.wav", tones(1, 330 * (k + 1)), 44_100)
    config = TagConfig(str(music), model, str(out), engine="torch", n_examples=0)
    assert tag_catalog(config).tagged == 3
    (new,) = out.glob("tags/**/*.parquet")
    old = new.parents[2] / new.parent.name / new.name  # without the part
    old.parent.mkdir()
    new.rename(old)
    shutil.rmtree(out / "index")
    before = pq.read_table(old, partitioning=None)
    capsys.readouterr()
    assert plan_tagging(config).unchanged == 3
    assert list(out.glob("tags/**/*.parquet")) == [old]
    run = tag_catalog(config)
    assert (run.unchanged, run.tagged, run.failed) == (3, 0, 0)
    assert "its rows go into parts, 1 in all" in capsys.readouterr().err
    (moved,) = out.glob("tags/**/*.parquet")
    assert moved.parent.parent.name == "part=0-of-1"
    assert pq.read_table(moved, partitioning=None).equals(before)
    assert len(list(out.glob("index/*/*.parquet"))) == 1
