"""Every block of docs/api.md runs as it stands, one after the other, in one folder."""

import re
import shutil
from pathlib import Path

import pytest
import soundfile

import pipeline
from pipeline.models import starter
from tests.conftest import SAMPLE_RATE_HZ, tones
from tests.flows.conftest import Corpus
from tests.flows.conftest import corpus as corpus  # fixtures
from tests.flows.conftest import dataset as dataset
from tests.flows.conftest import model as model
from tests.flows.conftest import once as once

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_examples_run(corpus: Corpus, dataset, model, tmp_path, monkeypatch, capsys):
    for sheet in corpus.sheets:
        shutil.copy(sheet, tmp_path)
    (tmp_path / "videos").symlink_to(corpus.folder / "videos")
    (tmp_path / "dataset").symlink_to(dataset)
    shutil.copytree(model, tmp_path / "model")  # so that training it finds it done
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "a.wav", tones(3, 440), SAMPLE_RATE_HZ)
    (tmp_path / "music" / "b.wav").write_bytes(b"no music")
    monkeypatch.chdir(tmp_path)
    blocks = BLOCKS
    if not starter.has_starter():  # nor have Ray's workers
        monkeypatch.setattr(starter, "_FOLDER", tmp_path / "model")
        named = 'TagConfig(catalog="music", model="model", '
        blocks = [block.replace('TagConfig(catalog="music", ', named) for block in BLOCKS]
    names: dict[str, object] = {}
    said = []
    for block in blocks:
        assert len(block.splitlines()) <= 20
        exec(compile(block, "docs/api.md", "exec"), names)
        said.append(capsys.readouterr().out)
    build, train, tag, again, find, machine, one, logmel = said
    assert re.search(r"^\d+ ok ok$", build, re.M)
    assert re.search(r"^2\.0 \d\.\d+ \d\.\d+$", train, re.M)
    assert "2 tracks to do" in tag
    assert re.search(r"^[01] of 2 tracks have other labels now$", again, re.M)
    assert "tags.csv: 2 rows" in again and re.search(r"^[01] of 1 tracks differ$", again, re.M)
    assert find.splitlines() == ["1 ['uri', 'duration_s', 'labels', 'cel']", "1 True"]
    assert re.search(r"^ok +python", machine, re.M)
    assert one.splitlines()[1:3] == ["True", "True"]
    assert "a.wav ok [" in one and "b.wav failed []" in one
    assert re.search(r"^\d+\.\d+ \d+\.\d+$", one, re.M)  # of brightness and roughness
    assert logmel.startswith("(256, ")


def test_what_can_be_imported_is_there():
    assert set(pipeline.__all__) == set(dir(pipeline))
    assert all(getattr(pipeline, name) for name in pipeline.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pipeline.nothing  # noqa: B018
