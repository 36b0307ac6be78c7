"""jobs.search on tags that a tagging has written: by question, track, file and span."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import harness, search
from pipeline import SearchConfig
from pipeline import search as search_function
from pipeline.configs.tag import TagConfig
from pipeline.errors import UsageError
from pipeline.flows.tagging.tag import tag_catalog
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.query_vector import tagging_inference
from tests.conftest import SAMPLE_RATE_HZ, tones
from tests.models.test_engines import write_model


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Tracks of low and of high tones, one of them twice in other encodings, and a broken one."""
    folder = tmp_path_factory.mktemp("music")
    low, high = tones(6, 220, 330), tones(4, 1760, 2640)
    soundfile.write(folder / "low.wav", low, SAMPLE_RATE_HZ)
    soundfile.write(folder / "low.ogg", low, SAMPLE_RATE_HZ)
    soundfile.write(folder / "high.flac", high, SAMPLE_RATE_HZ)
    soundfile.write(folder / "both.flac", np.concatenate([low, high]), SAMPLE_RATE_HZ)
    (folder / "broken.mp3").write_bytes(b"no music at all")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))[0]


@pytest.fixture(scope="module")
def tags(music, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("tags")
    tag_catalog(TagConfig(str(music), str(model), str(out), keep_windows=True, n_examples=0))
    return str(out)


@pytest.fixture
def run_search(tags, capsys):
    """Give a function that runs the job; it returns exit code, output and messages."""

    def run(*flags):
        code = search.main(["--tags", tags, *map(str, flags)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def names(text):
    return [json.loads(line)["uri"].rpartition("/")[2] for line in text.splitlines()]


def test_by_a_question_as_a_table_and_as_a_file(run_search, tags, tmp_path):
    code, out, err = run_search("--where", "duration < 5")
    assert code == harness.OK and "high.flac" in out and "low.wav" not in out
    assert err.startswith("1 of 1 tracks, by ")
    code, out, _ = run_search("--sort", "duration desc", "--format", "jsonl", "--limit", 2)
    assert names(out) == ["both.flac", "low.ogg"]
    code, out, _ = run_search("--format", "parquet", "--out", tmp_path / "found.parquet")
    assert code == harness.OK and "4 of 4 tracks" in out
    assert pq.read_table(tmp_path / "found.parquet").num_rows == 4
    assert run_search("--where", "status = failed", "--format", "csv")[1].count("broken.mp3") == 1
    assert run_search("--where", "duration < 0")[:2] == (harness.OK, "")


def test_like_a_track_its_copy_is_nearest_and_it_is_not_found_itself(
    run_search, music, monkeypatch
):
    monkeypatch.chdir(music)
    _, out, _ = run_search("--like", "low.wav", "--format", "jsonl")
    assert names(out)[0] == "low.ogg" and "low.wav" not in names(out)
    assert json.loads(out.splitlines()[0])["similarity"] > 0.99
    _, out, _ = run_search(
        "--like", music / "low.wav", "--where", "duration < 5", "--format", "jsonl"
    )
    assert names(out) == ["high.flac"]
    _, out, err = run_search("--like", music / "low.wav", "--min-similarity", 0.99)
    assert err.startswith("1 of 1 tracks") and "low.ogg" in out


def test_like_a_file_that_is_not_in_the_catalogue(run_search, tmp_path):
    """It goes the way of the tagging: the vector of a copy is that of the track."""
    soundfile.write(tmp_path / "new.wav", tones(6, 220, 330), SAMPLE_RATE_HZ)
    _, out, _ = run_search("--like", tmp_path / "new.wav", "--format", "jsonl")
    first = json.loads(out.splitlines()[0])
    assert first["uri"].endswith("low.wav") and first["similarity"] == pytest.approx(1, abs=1e-3)


def test_like_a_span_of_a_track_finds_what_sounds_there(run_search, music):
    span = ["--like", music / "both.flac", "--from", 6.5, "--to", 9.5]
    _, out, _ = run_search(*span, "--format", "jsonl")
    assert names(out)[0] == "high.flac"
    _, out, _ = run_search(*span, "--windows", "--format", "jsonl", "--limit", 4)
    found = [json.loads(line) for line in out.splitlines()]
    assert {one["uri"].rpartition("/")[2] for one in found} <= {"both.flac", "high.flac"}
    assert all(one["start_s"] >= 5 for one in found if one["uri"].endswith("both.flac"))


def test_the_same_recording_in_two_encodings(run_search, tags):
    _, out, err = run_search("--duplicates", "--format", "csv")
    assert "1 of 1 groups of duplicates, 2 tracks" in err
    assert "low.wav" in out and "low.ogg" in out and "high" not in out
    found = search_function(SearchConfig(tags, duplicates=True, min_similarity=1.0))
    assert found.n_found == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--where", "celo"], "unknown word 'celo' (did you mean cello?)"),
        (["--like", "/nowhere.mp3"], "--like /nowhere.mp3: no such file (unreadable)"),
        (["--like", "/nowhere.mp3", "--to", "3"], "--like /nowhere.mp3: no such file (unreadable)"),
        (["--from", "3"], "--from 3: expected 0 or more, and --like"),
        (["--like", "a", "--from", "5", "--to", "4"], "--to 4: expected more than --from"),
        (["--like", "a", "--sort", "cel"], "--sort: leave it out with --like"),
        (["--duplicates", "--windows"], "--windows: leave it out with --duplicates"),
        (["--min-similarity", "0.9"], "--min-similarity 0.9: expected -1 to 1, and --like or"),
        (
            ["--like", "/nowhere.mp3", "--model", "starter"],
            "name the model that tagged with --model",
        ),
        (["--limit", "-1"], "--limit -1: expected 0 or more"),
    ],
)
def test_what_cannot_be_searched_is_one_line(run_search, flags, said):
    code, out, err = run_search(*flags)
    assert (code, out) == (harness.USAGE, "")
    assert said in err and err.count("\n") == 1


def test_python_has_it_too(tags):
    found = search_function(SearchConfig(tags, where="duration > 5", limit=1))
    assert (found.rows.column_names, found.n_found) == (["uri", "duration_s", "labels"], 3)
    with pytest.raises(UsageError, match="--format 'xml'"):
        SearchConfig(tags, format="xml")


def test_windows_that_were_not_kept_are_scored_as_the_run_labelled(music, model, tmp_path):
    limits = {"threshold": 0.0, "min_confidence": 0.25, "aggregate": "max", "n_examples": 0}
    tag_catalog(TagConfig(str(music), str(model), str(tmp_path / "tags"), **limits))
    found = tagging_inference(TaggedCatalogue.open(str(tmp_path / "tags")), None)
    assert set(found.thresholds) == {0.0}
    assert (found.min_confidence, found.aggregation) == (0.25, "max")
