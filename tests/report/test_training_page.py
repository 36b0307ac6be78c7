"""A training's page: what it took, its learning rate, and its windows as they were disturbed."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.report.page import Table, render_page
from pipeline.report.pages.training_page import training_page
from pipeline.report.picture import Picture
from pipeline.report.plots.training_plots import augmentations, learning_rates
from pipeline.training.augmenting.augment_examples import ALL_OF_THEM, ORIGINAL, AugmentedWindow
from pipeline.training.config import TrainConfig
from pipeline.training.schedule import rate_curves

SPEC = LogMelSpec(n_mels=64)
MAX_URI_CHARS = 250_000
EPOCH = {"epoch": 1.0, "train_loss": 0.5, "val_loss": 0.4, "val_macro_f1": 0.3}


def training(config=None, n_epochs=3, **more):
    history = [EPOCH | {"epoch": k + 1.0, "val_loss": 0.4 / (k + 1)} for k in range(n_epochs)]
    return {"config": asdict(config or TrainConfig()), "history": history, **more}


def example(names, shape=(64, 87), unused=()):
    rng = np.random.default_rng(0)
    images = {name: rng.normal(-30, 20, shape).astype(np.float32) for name in names}
    return AugmentedWindow("<id>_0", ["cel", "$pia"], images, list(unused))


ALL = [ORIGINAL, "noise", "pitch", "shift", "frequency masks", "time masks", "mix", "tilt"]


def test_a_windows_images_are_all_drawn(svg_of):
    picture = augmentations(example([*ALL, ALL_OF_THEM]), window_s=1.0, spec=SPEC)
    images = [e for e in svg_of(picture).iter() if e.tag.endswith("image")]
    assert len(images) == 9
    assert len(picture.data_uri) < MAX_URI_CHARS
    assert picture.title == "Augmentation of a clip: cel, $pia"
    for said in ("<id>_0", "0.005", "6 semitones", "40% of the window", "10% of it", "9 dB"):
        assert said in picture.caption


def test_rows_of_another_feature_are_drawn(svg_of):
    names = [ORIGINAL, "shift", "frequency masks", "time masks"]
    picture = augmentations(example(names, (40, 87), ["time masks"]), window_s=1.0, spec=None)
    assert len([e for e in svg_of(picture).iter() if e.tag.endswith("image")]) == 4
    assert "log-mel" not in picture.caption


@pytest.mark.parametrize("head_lr", [None, 1e-3])
@pytest.mark.parametrize("n_epochs", [1, 35])
def test_learning_rates_are_drawn(svg_of, head_lr, n_epochs):
    curves = rate_curves(replace(TrainConfig(), head_lr=head_lr), 35 * 20)
    picture = learning_rates(curves, steps_per_epoch=20, n_epochs=n_epochs)
    svg_of(picture)
    assert "20 an epoch" in picture.caption
    assert ("where the training ended" in picture.caption) == (n_epochs < 35)


@pytest.mark.parametrize("key", ["peak_mib", "peak_memory_mib"])
def test_the_page_shows_what_the_training_took(key):
    given = training(seconds=190.4, **{key: 2345.6})
    for row in given["history"]:
        row["seconds"] = 12.345
    page = training_page("m-1", given, {})
    tiles = {tile.label: tile.value for tile in page.tiles}
    assert (tiles["time"], tiles["peak memory"]) == ("3.2 min", "2,346 MiB")
    (epochs,) = [b for b in page.blocks if isinstance(b, Table) and b.title == "Epochs"]
    assert epochs.columns[-1] == "seconds"
    assert [row[-1] for row in epochs.rows] == ["12.3"] * 3
    assert epochs.is_numeric == [True] * 5


def test_older_models_have_no_such_figures():
    page = training_page("m-1", training(), {})
    assert {"time", "peak memory"}.isdisjoint(tile.label for tile in page.tiles)
    (epochs,) = [b for b in page.blocks if isinstance(b, Table) and b.title == "Epochs"]
    assert "seconds" not in epochs.columns
    render_page(page)


def test_a_classical_model_has_no_curves():
    given = training(TrainConfig(model="random-forest"), n_epochs=1, seconds=2.0)
    page = training_page("random-forest-1", given, {})
    assert page.lead == "random-forest-1: fitted once."
    assert not [block for block in page.blocks if isinstance(block, Picture)]
    assert "epochs" not in {tile.label for tile in page.tiles}
    (settings,) = [b for b in page.blocks if isinstance(b, Table) and b.title == "Config"]
    names = {row[0] for row in settings.rows}
    assert {"model", "window_s", "seed"} < names
    assert names.isdisjoint({"epochs", "batch_size", "lr", "augment"})  # they change nothing


def test_a_page_of_moderate_size(svg_of):
    pictures = [augmentations(example(ALL), window_s=1.0, spec=SPEC) for _ in range(2)]
    curves = rate_curves(TrainConfig(), 700)
    pictures = [learning_rates(curves, steps_per_epoch=20, n_epochs=3), *pictures]
    html = render_page(training_page("m-1", training(), {}, pictures))
    assert "<id>" not in html
    assert html.count("data:image/svg") == 4
    assert len(html) < 600_000


def epochs_table(page):
    (table,) = [b for b in page.blocks if isinstance(b, Table) and b.title == "Epochs"]
    return table


OLD = [
    {"epoch": 1.0, "train_loss": 0.5, "val_loss": 0.6, "val_macro_f1": 0.3},
    {"epoch": 2.0, "train_loss": 0.4, "val_loss": 0.7, "val_macro_f1": 0.5},
]
NEW = [
    row | {"val_s2_loss": row["val_loss"], "val_s1_loss": 0.1, "val_map": 0.4, **cost}
    for row, cost in zip(
        OLD,
        [{"seconds": 61.0, "peak_mib": 900.0}, {"seconds": 1000.0, "peak_mib": 1234.0}],
        strict=True,
    )
]


def page_of(history, select=None, **more):
    config = {"epochs": 9, **({"select": select} if select else {})}
    page = training_page("m-1", {"config": config, "history": history, **more}, {})
    return page, render_page(page)


def test_the_page_names_the_kept_epoch_and_by_what():
    page, text = page_of(NEW, "f1", seconds=1061.0, peak_mib=1234.0)
    assert "the best of 2 epochs by validation macro F1 is number 2" in text
    assert [tile.value for tile in page.tiles] == [0.7, 0.5, 2, "18 min", "1,234 MiB"]
    assert "best epoch by validation macro F1" in text
    table = epochs_table(page)
    assert table.columns[-3:] == ["validation macro F1", "seconds", "peak MiB"]
    assert list(table.rows[1]) == [2, 0.4, 0.7, 0.7, 0.1, 0.4, 0.5, "1,000.0", "1,234"]


def test_older_trainings_have_their_page():
    page, text = page_of(OLD)
    assert "by validation loss after S2 is number 1" in text
    assert [tile.label for tile in page.tiles] == [
        "validation loss",
        "validation macro F1",
        "epochs",
    ]
    assert [list(row) for row in epochs_table(page).rows] == [
        [1, 0.5, 0.6, 0.3],
        [2, 0.4, 0.7, 0.5],
    ]
