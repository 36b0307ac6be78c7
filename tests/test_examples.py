"""The scripts of examples/ run, and print what their first lines promise."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
import soundfile

from pipeline.models import starter
from pipeline.store.folder import Folder
from schemas.tags import tags_schema
from tests.conftest import SAMPLE_RATE_HZ, tones

FOLDER = Path(__file__).parents[1] / "examples"
needs_starter = pytest.mark.skipif(not starter.has_starter(), reason="no starter in the package")


def example(name: str) -> ModuleType:
    """Import a script; its `main` is called by the test."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_script_says_how_it_is_called_and_has_a_test():
    text = Path(__file__).read_text()
    for path in FOLDER.glob("*.py"):
        assert f".venv/bin/python examples/{path.name}" in path.read_text()
        assert f'example("{path.stem}")' in text


@needs_starter
def test_tag_a_file(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", tones(3, 440, 880), SAMPLE_RATE_HZ)
    (tmp_path / "b.wav").write_bytes(b"no music")
    example("tag_a_file").main([str(tmp_path / "a.wav"), str(tmp_path / "b.wav")])
    tagged, broken = capsys.readouterr().out.splitlines()
    assert re.search(r"a\.wav: ([a-z, ]+ \d\.\d\d|no instrument)", tagged)
    assert re.search(r"b\.wav: failed, [a-z_]+$", broken)


def test_read_tags(tmp_path, capsys):
    common = {"model_id": "m", "scores": {"cel": 0.9}}
    rows = [
        {**common, "uri": "a", "status": "failed", "labels": None, "tagged_at": 1},
        {**common, "uri": "a", "status": "ok", "labels": ["cel"], "tagged_at": 2},
        {**common, "uri": "b", "status": "ok", "labels": ["cel"], "tagged_at": 1},
        {**common, "uri": "c", "status": "failed", "labels": None, "tagged_at": 1},
    ]
    table = pa.Table.from_pylist(rows, tags_schema(["cel"]))
    Folder(str(tmp_path)).write_table("tags/model=m/date=2026-11-28/0.parquet", table)
    example("read_tags").main(str(tmp_path))
    first, label = capsys.readouterr().out.splitlines()
    assert first == "3 tracks: {'ok': 2, 'failed': 1}"
    assert label.split() == ["cel", "2"]


@needs_starter
def test_fit_probe(tmp_path, capsys, rng):
    for k in range(5):
        for name, first_hz in (("low", 200), ("high", 2000)):
            (tmp_path / name).mkdir(exist_ok=True)
            pitches_hz = first_hz * rng.uniform(1.0, 1.5, 2)
            sound = tones(1, *pitches_hz)
            soundfile.write(tmp_path / name / f"{k}.wav", sound, SAMPLE_RATE_HZ)
    (tmp_path / "low" / "broken.wav").write_bytes(b"no music")
    example("fit_probe").main(str(tmp_path))
    out = capsys.readouterr().out
    assert re.search(r"^ +low .+ 5$", out, re.M) and re.search(r"^ +high .+ 5$", out, re.M)
    assert re.search(r"accuracy +(0\.[89]|1\.0)", out)
