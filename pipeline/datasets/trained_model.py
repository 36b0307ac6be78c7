"""What a training has come to in, its model's folder out: model.json, weights, page and curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.datasets.training_data import TrainingData
from pipeline.evaluation.labels.aggregate import METHODS
from pipeline.models.model import ModelCard, named, save_model
from pipeline.models.regression import Regression
from pipeline.report.page import render_page
from pipeline.report.pages.training_page import training_page
from pipeline.report.picture import Picture
from pipeline.report.plots.training_plots import augmentations, learning_rates
from pipeline.runs.curves import write_curves
from pipeline.runs.provenance import provenance
from pipeline.store.folder import Folder
from pipeline.training.augmenting.augment_examples import AugmentedWindow
from pipeline.training.cost import cost_of
from pipeline.training.loop import Progress
from pipeline.training.schedule import rate_curves
from pipeline.training.selection import best_row


@dataclass(frozen=True)
class Fitted:
    """What a training has come to."""

    progress: Progress
    shown: dict[str, Any] = field(default_factory=dict)
    """What its page shows of a network's training; empty of other models."""
    about_probe: dict[str, Any] = field(default_factory=dict)
    """What model.json says of a probe's; empty of other models."""


def write_model(
    out: Folder, fitted: Fitted, training_data: TrainingData, *, run: str, n_workers: int
) -> ModelCard:
    """Write a model, its page and its curves; return its card as it is written.

    `run` is what the training is named by; `n_workers` are the most that it may have had.
    """
    progress = fitted.progress
    card = _card(fitted, training_data, run=run, n_workers=n_workers)
    write_curves(out, progress.history)
    model_id = named(card, progress.best_weights)[0].model_id
    page = training_page(
        model_id,
        card.training,
        card.provenance,
        _pictures(card.training, fitted.shown, training_data),
        untrained=card.untrained_classes,
    )
    out.write_bytes("report.html", render_page(page).encode())
    return save_model(out, progress.best_weights, card)  # last: with it the run is done


def _card(fitted: Fitted, training_data: TrainingData, *, run: str, n_workers: int) -> ModelCard:
    """Return the model.json of a model, but for what is made of its weights."""
    progress, shown, config = fitted.progress, fitted.shown, training_data.config
    about = dict(shown.get("about", {}))
    regression = about.pop("regression", None)
    training = {
        "run": run,
        "dataset": training_data.dataset.folder.uri,
        "workers": n_workers,
        "config": asdict(config),
        "best_val_loss": progress.best_val_loss,
        "precision": progress.precision,
        "precision_note": progress.note,
        "diverged_at": progress.diverged_at,
        "history": progress.history,
        "selected_by": config.select,
        "best_epoch": int(best_row(progress.history, config.select)["epoch"]),
        **cost_of(progress.history),
        **{key: shown[key] for key in ("steps_per_epoch",) if key in shown},
        "windows": progress.windows,
        **fitted.about_probe,
        **about,
        **_begun_from(training_data),
    }
    return ModelCard(
        architecture=training_data.architecture,
        vocabulary=training_data.vocabulary,
        input_spec=training_data.input_spec,
        windows=training_data.windows,
        aggregation=config.aggregation,
        thresholds={method: _thresholds(training_data) for method in METHODS},
        dataset_fingerprint=training_data.meta.fingerprint,
        training=training,
        provenance=provenance(),
        regression=None if regression is None else Regression.from_dict(regression),
    )


def _begun_from(training_data: TrainingData) -> dict[str, Any]:
    """Return what model.json says of the models that a training began from, and was taught by."""
    init, teaching = training_data.init, training_data.teaching
    files = training_data.weight_files
    return {
        **({} if files is None else {"weights": {"uri": files.uri, "sha256": files.sha256}}),
        **({} if init is None else {"init": init.to_dict(training_data.vocabulary)}),
        **({} if teaching is None else {"teachers": teaching.model_ids}),
    }


def _thresholds(training_data: TrainingData) -> dict[str, float]:
    """Return 0.5 for each class, and 1 for those that are not learned, whose scores are 0."""
    codes = enumerate(training_data.vocabulary.codes)
    return {code: 1.0 if k in training_data.untrained else 0.5 for k, code in codes}


def _pictures(
    training: Mapping[str, Any], shown: Mapping[str, Any], training_data: TrainingData
) -> list[Picture]:
    """Return the pictures of how a network was trained; none of an older checkpoint's training."""
    if not shown:
        return []
    steps, config = shown["steps_per_epoch"], training_data.config
    examples = map(AugmentedWindow.from_state, shown["examples"])
    curves = rate_curves(config, steps * config.epochs)
    return [
        learning_rates(curves, steps_per_epoch=steps, n_epochs=len(training["history"])),
        *(
            augmentations(one, window_s=config.window_s, spec=training_data.drawn_spec)
            for one in examples
        ),
    ]
