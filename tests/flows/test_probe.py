"""A probe's training by Ray: embeddings once, kept and gone on with; a model like any other."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from jobs import train
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.training import embed as embedding
from pipeline.flows.training.fit import FitConfig, fit
from pipeline.flows.training.folds import cross_validate
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import load_card
from pipeline.store.dataset import Dataset
from pipeline.training.data.mapped import samples_of
from pipeline.training.recipes import preset
from tests.flows.conftest import mounted
from tests.training.test_probe import NARROW, WIDE, write_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    base = tmp_path_factory.mktemp("encoders")
    made = [write_encoder(base / f"{k}", one, k, 2.5, 2.5) for k, one in enumerate((WIDE, NARROW))]
    return tuple(uri for uri, _ in made)


@pytest.fixture(scope="module")
def copied(dataset, tmp_path_factory):
    """Copy the dataset, as embeddings are kept in it."""
    return shutil.copytree(dataset, tmp_path_factory.mktemp("probe") / "data")


@pytest.fixture(scope="module")
def probe(copied, encoders, ray_local, tmp_path_factory):
    out = tmp_path_factory.mktemp("probe") / "model"
    flags = ["--model", "probe", "--encoder", ",".join(encoders), "--epochs", "4", "--hidden", "16"]
    assert train.main(["--dataset", str(copied), "--out", str(out), *flags]) == 0
    return out


def config_of(copied, out, encoders, **changes):
    own = replace(preset(None, "probe"), encoder=encoders, epochs=4, hidden=16, **changes)
    return FitConfig(str(copied), str(out), own)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("embeddings/*/*.parquet")}


def test_serving_gives_what_the_head_makes_of_kept_embeddings(probe, copied):
    """One pass over the samples of a clip: both front ends, both encoders, the head."""
    dataset, card = Dataset.open(str(copied)), load_card(str(probe))
    engine = make_engine(str(probe), precision="f32", engine="torch", embeddings=True)
    tagger = engine._preparation
    for name in dataset.folder.names("clips")[:2]:
        if "test-" in name:
            continue
        (kept,) = copied.glob(f"embeddings/*/{name.split('/')[1]}")
        rows = dataset.folder.read_table(str(kept.relative_to(copied))).to_pylist()
        clips = dataset.folder.read_table(name, ["segment_id", "audio"]).to_pylist()
        assert [row["segment_id"] for row in rows] == [clip["segment_id"] for clip in clips]
        for row, clip in zip(rows, clips, strict=True):
            samples = samples_of(clip["audio"]["bytes"], card.input_spec.sample_rate_hz)
            matrix = card.input_spec.matrix(samples)[None, :, : card.architecture.input_shape[1]]
            scores, hidden = engine.scores(matrix)
            head = tagger.backbone.head
            vectors = np.float32([row["embedding"]])
            standard = (vectors - head.mean.numpy()) / head.deviation.numpy()
            weight, bias = (one.detach().numpy() for one in head.hidden[0].parameters())
            by_hand = np.maximum(0, standard @ weight.T + bias)
            np.testing.assert_allclose(hidden, by_hand, atol=0.15)  # kept ones may be in bfloat16
            logits = by_hand @ head.classifier.weight.detach().numpy().T
            logits += head.classifier.bias.detach().numpy()
            expected = tagger.silenced(1 / (1 + np.exp(-logits)))
            np.testing.assert_allclose(scores, expected, atol=0.03)


def test_the_card_says_whose_weights_it_holds(probe, encoders, copied):
    card = load_card(str(probe))
    assert card.input_spec.to_dict()["kind"] == "stacked"
    ids = [load_card(uri).model_id for uri in encoders]
    assert [one["model_id"] for one in card.training["encoders"]] == ids
    assert card.training["embeddings"].startswith(str(copied))
    assert len(card.training["history"]) == 4
    about = json.loads(next(copied.glob("embeddings/*/about.json")).read_text())
    assert about["model_ids"] == ids
    assert "Training" in (probe / "report.html").read_text()


def test_what_is_missing_of_embeddings_is_made_and_no_more(probe, copied, encoders, tmp_path):
    before = files_of(copied)
    clips = [path.name for path in (copied / "clips").iterdir() if "test-" not in path.name]
    assert sorted(path.name for path in before) == sorted(clips)
    lost, changed = sorted(before)[:2]
    lost.unlink()
    (lost.parent / f".{lost.name}.12345678.tmp").write_bytes(b"half")
    shutil.copy(sorted(before)[2], changed)  # of other clips than its name says
    again = fit(config_of(copied, tmp_path / "again", encoders, seed=1))
    after = files_of(copied)
    assert after.keys() == before.keys()
    assert {path for path in before if after[path] != before[path]} == {lost, changed}
    assert not list(lost.parent.glob(".*.tmp"))
    assert again.card.model_id != load_card(str(probe)).model_id
    same = fit(config_of(copied, probe, encoders))
    assert same.was_done
    with pytest.raises(UsageError, match="is there, of another run"):
        fit(config_of(copied, probe, encoders[:1]))


def test_folds_share_the_embeddings(probe, copied, encoders, tmp_path):
    before = files_of(copied)
    result = cross_validate(config_of(copied, tmp_path / "cv", encoders), 3)
    assert files_of(copied) == before
    assert len({card.model_id for card in result.cards}) == 3
    assert all(card.is_of_fold for card in result.cards)


def test_a_dataset_that_cannot_be_written_to_leaves_them_with_the_model(
    copied, encoders, probe, tmp_path, capsys
):
    with mounted(tmp_path / "disk", "200m") as disk:
        data = shutil.copytree(copied, disk / "data", ignore=shutil.ignore_patterns("embeddings"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        card = fit(config_of(data, tmp_path / "model", encoders)).card
        assert not files_of(data)
        assert card.training["embeddings"].startswith(str(tmp_path / "model"))
        assert len(files_of(tmp_path / "model")) == len(files_of(copied))
        assert "the embeddings go to" in capsys.readouterr().err
        assert card.model_id == load_card(str(probe)).model_id


def test_an_encoder_that_becomes_another_meanwhile_is_told(encoders):
    with pytest.raises(SpecMismatch, match="an encoder has become another; train again"):
        embedding._engine(encoders[:1], ("crnn-of-before",), 10.0, "f32", False)
