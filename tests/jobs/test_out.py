"""One rule for every job's --out: no other kind of thing is there, and no input of the job."""

import importlib
from pathlib import Path

import pytest

from jobs import harness
from pipeline.errors import UsageError
from pipeline.store import out
from pipeline.store.out import TAGS, Kind, catalogue_folder, check_out

ROOT = Path(__file__).parents[2]
JOBS: dict[str, tuple[Kind, str]] = {
    "build_subset": (out.DATASET, "--segments nowhere.csv --source nowhere"),
    "extract_features": (out.FEATURES, "--dataset nowhere --features rms"),
    "explore": (out.EXPLORATION, "--dataset nowhere"),
    "train": (out.MODEL, "--dataset nowhere"),
    "train --folds 3": (out.FOLDS, "--dataset nowhere"),
    "import_model": (out.MODEL, "--family efficientat --weights nowhere"),
    "quantize": (out.MODEL, "--model nowhere --dataset nowhere"),
    "evaluate": (out.EVALUATION, "--model nowhere --dataset nowhere"),
    "compare": (out.COMPARISON, "--evaluations nowhere elsewhere"),
    "compare --a nowhere": (out.DIFFERENCES, "--b elsewhere"),
    "reproduce harmony": (out.REPRODUCTION, "--irmas nowhere"),
    "tag_catalog": (out.TAGS, "--catalog nowhere --model nowhere"),
    "tag_catalog --dry-run": (out.TAGS, "--catalog nowhere --model nowhere"),
    "retag": (out.TAGS, "--tags nowhere --threshold 0.5"),
    "export": (out.EXPORT, "--tags nowhere --format csv"),
}
FILES = {
    "dataset.json": out.DATASET,
    "features.json": out.FEATURES,
    "explore.json": out.EXPLORATION,
    "model.json": out.MODEL,
    "folds.json": out.FOLDS,
    "metrics.json": out.EVALUATION,
    "comparison.json": out.COMPARISON,
    "differences.json": out.DIFFERENCES,
    "reproduction.json": out.REPRODUCTION,
    "run.json": out.TAGS,
    "tags.csv": out.EXPORT,
    "tags.jsonl": out.EXPORT,
    "a_song-5d8afc5bf9899314.jams": out.EXPORT,
    "a_song-5d8afc5bf9899314.txt": out.EXPORT,
    "cel.m3u8": out.EXPORT,
}


def refused(job: str, flags: str, folder: Path, capsys) -> str:
    """Run a job that cannot work: its inputs are nowhere; return what it says."""
    name, *words = job.split()
    line = [*words, *flags.split(), "--out", str(folder)]
    assert importlib.import_module(f"jobs.{name}").main(line) == harness.USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("file", FILES)
def test_no_job_writes_where_another_kind_of_thing_is(job, file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / file).write_text("{}")
    kind, flags = JOBS[job]
    error = refused(job, flags, folder, capsys)
    if FILES[file] is kind:
        assert "so it holds" not in error  # nowhere is
    else:
        assert f"{file} is there, so it holds {FILES[file].name}; name another folder" in error
    assert [path.name for path in folder.iterdir()] == [file]


@pytest.mark.parametrize(
    ("job", "files", "is_taken"),
    [
        ("tag_catalog", ["run.json", "tags.csv", "cel.m3u8"], True),
        ("extract_features", ["features.json", "explore.json"], True),
        ("export", ["tags.csv", "run.json"], False),
        ("evaluate", ["metrics.json", "run.json"], False),  # it makes tags/ anew
        ("train", ["model.json", "run.json"], False),
    ],
)
def test_what_older_versions_put_together_goes_on(job, files, is_taken, tmp_path, capsys):
    for file in files:
        (tmp_path / file).write_text("{}")
    error = refused(job, JOBS[job][1], tmp_path, capsys)
    assert ("so it holds" not in error) is is_taken


@pytest.mark.parametrize("file", FILES)
def test_the_demo_is_a_kind_of_its_own(file, tmp_path, capsys):
    (tmp_path / file).write_text("{}")
    error = refused("demo", "", tmp_path, capsys)
    assert f"{file} is there, so it holds {FILES[file].name}" in error
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_every_job_with_an_out_is_here():
    names = {path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")}
    names -= {"harness", "doctor", "submit", "browse", "correct"}
    names -= {"search"}  # whose --out is a file
    assert names == {job.split()[0] for job in JOBS} | {"demo"}


@pytest.mark.parametrize(
    ("job", "flag", "marker"),
    [
        ("build_subset --segments nowhere.csv", "--source", "x.wav"),
        ("extract_features --features rms", "--dataset", "dataset.json"),
        ("explore", "--dataset", "dataset.json"),
        ("explore --dataset nowhere", "--features", "features.json"),
        ("train", "--dataset", "dataset.json"),
        ("quantize --dataset nowhere", "--model", "model.json"),
        ("evaluate --dataset nowhere", "--model", "model.json"),
        ("evaluate --model nowhere --truth nowhere", "--tags", "run.json"),
        ("compare --b nowhere", "--a", "run.json"),
        ("tag_catalog --catalog nowhere", "--model", "model.json"),
        ("retag --threshold 0.5", "--tags", "run.json"),
        ("export --format csv", "--tags", "run.json"),
    ],
)
def test_an_input_is_no_out(job, flag, marker, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / marker).write_text("{}")
    (tmp_path / "link").symlink_to(folder)
    for same in (folder, folder / ".", tmp_path / "link"):
        error = refused(job, f"{flag} {folder}", same, capsys)
        there = "" if marker == "x.wav" else f"{marker} is there, "
        assert f"{there}that is what {flag} names; name another folder" in error


def test_the_folders_of_an_input_are_no_out_and_others_in_it_are(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    inputs = {"--dataset": str(tmp_path), "--tags": None}
    with pytest.raises(UsageError, match="features/ belongs to what --dataset names, a dataset"):
        check_out(str(tmp_path / "features" / "mfcc"), out.FEATURES, inputs)
    check_out(str(tmp_path / "mfcc"), out.FEATURES, inputs)
    check_out(str(tmp_path.parent), out.FEATURES, inputs)


@pytest.mark.parametrize(
    ("catalog", "folder", "says"),
    [
        ("music", "music", "the catalogue's audio is there"),
        ("music/", "music/tags", "that lies in the catalogue"),
        ("music", ".", "lies in it"),
        ("music/*.wav", "music", "the catalogue's audio is there"),
        ("music/**/*.wav", "music/tags", "that lies in the catalogue"),
        ("music/**/*.wav", ".", "lies in it"),
        ("file://{here}/music", "music/tags", "that lies in the catalogue"),
    ],
)
def test_a_catalogue_is_not_littered(catalog, folder, says, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.wav").write_bytes(b"")
    catalog = catalog.format(here=tmp_path)
    error = refused("tag_catalog", f"--catalog {catalog} --model nowhere", Path(folder), capsys)
    assert says in error and error.endswith("name a folder beside it\n")
    assert [path.name for path in (tmp_path / "music").iterdir()] == ["a.wav"]


def test_what_lies_beside_the_music_is_no_catalogue(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for name in ("night.csv", "a.wav"):
        (tmp_path / name).write_bytes(b"")
        check_out(".", TAGS, catalog=name)  # a manifest may lie in --out
    check_out("music/tags", TAGS, catalog="music/*.wav")  # which looks into no folder
    check_out("music2", TAGS, catalog="music")
    check_out("tags", TAGS, catalog="https://example.org/a.wav")


@pytest.mark.parametrize(
    ("catalog", "folder"),
    [
        ("s3://bucket/music", "s3://bucket/music"),
        ("s3://bucket/music/a.flac", None),
        ("s3://bucket/night.parquet?scheme=http", None),
        ("s3://bucket/music/**/*.flac?scheme=http", "s3://bucket/music?scheme=http"),
        ("http://example.org/a.mp3", None),
    ],
)
def test_the_folder_of_a_catalogue_in_a_bucket(catalog, folder):
    assert catalogue_folder(catalog) == folder


def test_a_file_is_no_out(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for job, (_, flags) in JOBS.items():
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            assert f"{tmp_path}/file is a file; name a folder" in refused(
                job, flags, folder, capsys
            )


@pytest.mark.parametrize("name", ["tags.csv", "tags.tsv", "a_song-5d8afc5bf9899314.srt"])
def test_a_format_that_is_added_makes_exports_too(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="exported tags"):
        check_out(str(tmp_path), TAGS)
    check_out(str(tmp_path), out.EXPORT)
