"""Train an instrument tagger: a dataset in, model.safetensors and model.json out."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

from jobs import harness
from pipeline.api import cross_validate, fit, learn_corrections
from pipeline.configs.learn_corrections import LearnCorrectionsConfig
from pipeline.configs.train import FitConfig
from pipeline.errors import TimbreError
from pipeline.flags import Flag, Uri, add_flags, from_flags
from pipeline.models.names import CLASSICAL
from pipeline.report.wording import macro_text
from pipeline.training.config import NO_WEIGHTS, TrainConfig
from pipeline.training.presets import PRESETS, for_gpu, preset

if TYPE_CHECKING:
    from pipeline.flows.training.fit import FitResult
    from pipeline.flows.training.folds import FoldsResult
    from pipeline.models.card import ModelCard

_PRESETS = tuple(sorted(PRESETS))


@dataclass(frozen=True)
class Options:
    """What only the command line knows."""

    preset: Annotated[str | None, Flag("NAME", choices=_PRESETS, known=_PRESETS)] = None
    """One of the report's runs {known}"""
    folds: Annotated[int | None, Flag("K")] = None
    """Train and val in K parts by video, a model each."""
    corrections: Annotated[Uri | None, Flag("URI")] = None
    """Learn from people's corrections in place of a dataset: a tagging folder that jobs.browse has
    corrected. The model that tagged gets a linear layer more. Beside it go --out, --init
    (that model) and --model-id (whose tags), and no other flag."""


def main(argv: list[str] | None = None) -> int:
    """Parse, train, print the summary."""
    words = sys.argv[1:] if argv is None else argv
    if any(word.partition("=")[0] == "--corrections" for word in words):
        return _learn_corrections(words)
    parser = harness.parser(__doc__)
    defaults = _defaults(parser, argv)
    add_flags(parser, Options)
    add_flags(parser, FitConfig, defaults=SimpleNamespace(train=defaults))
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        train = from_flags(TrainConfig, flags, defaults)
        config = FitConfig(
            *(flags["dataset"], flags["out"], train, flags["workers"], flags["gpu"]),
            grow_every_s=flags["grow_every_s"],
            max_wait_s=flags["max_wait_s"],
        )
        if (n_folds := flags["folds"]) is None:
            _say_model(fit(config), config.out)
        else:
            _say_folds(cross_validate(config, n_folds), config.out)
        return harness.OK

    return harness.run(job)


def _learn_corrections(argv: Sequence[str]) -> int:
    """Learn from corrections; print how much of what was said the model agrees with."""
    flags = vars(harness.parser(__doc__, LearnCorrectionsConfig).parse_args(argv))

    def job() -> int:
        learned = learn_corrections(from_flags(LearnCorrectionsConfig, flags))
        rows = [row for row in learned.by_class if row["n_said"]]
        n_said, before, held_out, after = (
            sum(row[key] for row in rows) for key in ("n_said", "before", "held_out", "after")
        )
        name, n_tracks = learned.card.model_id, learned.n_tracks
        print(f"{name}: has learned from corrections of {n_tracks} tracks")
        print(
            f"of {n_said} labels that people gave or denied, it agreed with {before} before; with "
            f"{held_out} when fitted without their track; with {after} now"
        )
        for row in rows:
            print(
                f"  {row['code']}  {row['n_said']} said, {row['before']} before, "
                f"{row['held_out']} held out, {row['after']} now"
            )
        print(f"the model is in {flags['out']}: model.safetensors, model.json, report.html")
        return harness.OK

    return harness.run(job)


def _defaults(parser: ArgumentParser, argv: list[str] | None) -> TrainConfig:
    """Return the config that flags change: of the model that is fine-tuned, or of a preset."""
    first = ArgumentParser(add_help=False)
    for flag in ("--preset", "--model", "--init", "--task"):
        first.add_argument(flag)
    first.add_argument("--gpu", action=BooleanOptionalAction)
    chosen = first.parse_known_args(argv)[0]
    if chosen.init is not None and chosen.preset is not None:
        parser.error(f"--preset {chosen.preset}: of a training from nothing; --init has its own")
    try:
        if chosen.init is not None:
            from pipeline.training.transfer.fine_tuning import fine_tuning_config

            return fine_tuning_config(chosen.init)
        named = chosen.preset if chosen.preset in PRESETS else None
        config = preset(named, chosen.model, chosen.task)
        return for_gpu(config) if chosen.gpu and named is None else config
    except TimbreError as error:
        parser.error(str(error))


def _say_model(result: FitResult, out: str) -> None:
    from pipeline.training.selection import best_row, chosen_by

    card = result.card
    if result.was_done:
        print("the same run has ended before: nothing to do")
    best = best_row(card.training["history"], chosen_by(card.training))
    weights = card.training["config"]["weights"]
    start = "from scratch" if weights in (None, NO_WEIGHTS) else f"from {weights}"
    encoders = ", ".join(one["model_id"] for one in card.training.get("encoders", ()))
    if (init := card.training.get("init")) is not None:
        start = f"from {init['model_id']}"
    if teachers := card.training.get("teachers"):
        start += f", taught by {', '.join(teachers)}"
    how = f"fitted on the embeddings of {encoders}" if encoders else f"trained {start}"
    print(f"{card.model_id}: {how}")
    is_fitted_once = card.training["config"]["model"] in CLASSICAL
    which = f"best epoch {best['epoch']:.0f} of {len(card.training['history'])}: "
    print(f"{'' if is_fitted_once else which}{_figures_text(card, best)}")
    for line in _notes(card):
        print(line)
    print(f"the model is in {out}: model.safetensors, model.json, report.html")


def _notes(card: ModelCard) -> Iterator[str]:
    """Yield what else is to be known of a training: its arithmetic, and what it left out."""
    if note := card.training.get("precision_note"):
        yield f"computed in {note}"
    if (step := card.training.get("diverged_at")) is not None:
        precision = card.training["precision"]
        yield f"it ended there: the loss of step {step} was no number in {precision}; lower --lr"
    if card.untrained_classes:
        yield f"never named, as no clip to learn from has them: {', '.join(card.untrained_classes)}"
    for split, reasons in card.training.get("without_targets", {}).items():
        for why, n in reasons.items():
            yield f"{n:,} clips of {split} have no timbral descriptors and are left out: {why}"
    if left_out := card.training.get("windows", {}).get("left_out"):
        yield (
            f"{left_out:,} windows of silence or noise were left out, as tagging does; "
            "--no-activity takes them"
        )


def _figures_text(card: ModelCard, best: Mapping[str, float]) -> str:
    """Return what the best epoch came to, in words."""
    if card.regression is None:
        return f"val loss {best['val_loss']:.4f}, val macro F1 {best['val_macro_f1']:.3f}"
    r2 = f", R2 {best['val_r2']:.3f}" if "val_r2" in best else ""
    return f"val mean absolute error {best['val_loss']:.4f} of targets of 0 to 1{r2}"


def _say_folds(result: FoldsResult, out: str) -> None:
    for fold, (card, row) in enumerate(zip(result.cards, result.report.folds, strict=True)):
        n_classes = len(row["per_class"])
        n_present = sum(one["n_positive"] > 0 for one in row["per_class"])
        macro = macro_text(row["macro_f1_present"], row["macro_f1"], n_present, n_classes)
        print(f"fold {fold}: {card.model_id}, macro F1 {macro}")
    f1 = result.report.summary["macro_f1_present"]
    print(f"macro F1 {f1['mean']:.3f} ± {f1['deviation']:.3f}")
    print(f"the report is in {out}: report.html, folds.json, scores.parquet")


if __name__ == "__main__":
    harness.exit_process(main())
