"""Train an instrument tagger: a dataset in, model.safetensors and model.json out."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from jobs import harness
from pipeline.flows.fit import FitConfig, FitResult, fit
from pipeline.flows.folds import FoldsResult, cross_validate
from pipeline.learn.augment import AUGMENTATIONS
from pipeline.learn.config import TrainConfig
from pipeline.learn.model import ModelCard
from pipeline.learn.networks.classical import CLASSICAL
from pipeline.learn.networks.registry import known_names
from pipeline.learn.recipes import PRESETS, preset
from pipeline.learn.sampling import BALANCES, SAMPLINGS

AUGMENTED = ",".join(AUGMENTATIONS)


def main(argv: list[str] | None = None) -> int:
    """Parse, train, print the summary."""
    flags = vars(_parser(argv).parse_args(argv))
    own = {name: flags.pop(name) for name in ("dataset", "out", "workers", "gpu")}
    del flags["preset"]
    folds = flags.pop("folds")

    def job() -> int:
        config = FitConfig(train=TrainConfig(**flags), **own)
        if folds is None:
            _say_model(fit(config), own["out"])
        else:
            _say_folds(cross_validate(config, folds), own["out"])
        return harness.OK

    return harness.run(job)


def _parser(argv: list[str] | None) -> argparse.ArgumentParser:
    """Return the parser; its defaults are those of the preset and the model that `argv` names."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--preset", choices=sorted(PRESETS), help="one of the report's runs")
    first.add_argument(
        "--model", metavar="NAME", help=f"any timm backbone, or {', '.join(known_names())}"
    )
    chosen = first.parse_known_args(argv)[0]
    parser = harness.parser(__doc__, parents=[first])
    add = parser.add_argument
    add("--dataset", required=True, metavar="URI", help="the dataset's folder, from build_subset")
    add("--out", required=True, metavar="URI", help="the model's folder: a path, s3://, gs://")
    add("--workers", type=int, default=1, metavar="N", help="processes that train together")
    add("--gpu", action="store_true", help="a GPU for every worker, in bfloat16")
    add("--weights", metavar="imagenet|PATH", help="weights to begin with")
    add("--epochs", type=int, metavar="N", help="passes over the data")
    add("--batch-size", type=int, metavar="N", help="windows a step and worker")
    add("--window-s", type=float, metavar="S", help="window length in seconds")
    add("--input-size", type=harness.size, metavar="HxW", help="log-mels become HxW (mel x time)")
    add("--lr", type=float, metavar="X", help="learning rate after the warm-up")
    add("--weight-decay", type=float, metavar="X", help="L2 penalty")
    add("--head-lr", type=float, metavar="X", help="of the last layers, where it is another")
    add("--augment", type=harness.words, metavar="NAMES", help=f"some of {AUGMENTED}, or ''")
    add("--sampling", choices=SAMPLINGS, help="plain, or clips mixed: dynamic or persistent")
    add("--mix-min", type=int, metavar="N", help="clips mixed at least")
    add("--mix-max", type=int, metavar="N", help="clips mixed at most")
    add("--balance", choices=list(BALANCES), help="windows by the rarest class of their clip")
    add(
        "--activity",
        action=argparse.BooleanOptionalAction,
        help="leave out windows of silence and noise, as tagging does",
    )
    add("--accumulate", type=int, metavar="N", help="batches a step")
    add("--patience", type=int, metavar="N", help="epochs without a better one, then stop")
    add("--seed", type=int, metavar="N", help="of all that is drawn")
    add("--folds", type=int, metavar="K", help="train and val in K parts by video, a model each")
    defaults = asdict(preset(chosen.preset, chosen.model))
    typed = {  # as they are typed, for --help
        "augment": ",".join(defaults["augment"]),
        "input_size": "{}x{}".format(*defaults["input_size"]),
    }
    parser.set_defaults(**defaults | typed)
    return parser


def _say_model(result: FitResult, out: str) -> None:
    card = result.card
    if result.was_done:
        print("the same run has ended before: nothing to do")
    best = min(card.training["history"], key=lambda row: row["val_loss"])
    weights = card.training["config"]["weights"]
    print(f"{card.model_id}: trained {f'from {weights}' if weights else 'from scratch'}")
    is_fitted_once = card.training["config"]["model"] in CLASSICAL
    which = f"best epoch {best['epoch']:.0f} of {len(card.training['history'])}: "
    print(
        f"{'' if is_fitted_once else which}"
        f"val loss {best['val_loss']:.4f}, val macro F1 {best['val_macro_f1']:.3f}"
    )
    if left_out := card.training.get("windows", {}).get("left_out"):
        print(
            f"{left_out:,} windows of silence or noise were left out, as tagging does; "
            "--no-activity takes them"
        )
    if (n_epochs := _diverged_after(card)) is not None:
        print(f"it ended there: after epoch {n_epochs} the loss was no number; lower --lr")
    print(f"the model is in {out}: model.safetensors, model.json, report.html")


def _diverged_after(card: ModelCard) -> int | None:
    """Return the last epoch of a training whose next loss was no number; None where it ended well.

    Classical models are fitted once, whatever the epochs; where patience is out, all is well.
    """
    config, losses = card.training["config"], [row["val_loss"] for row in card.training["history"]]
    n_epochs, patience = len(losses), config["patience"]
    is_out = patience is not None and n_epochs - 1 - losses.index(min(losses)) >= patience
    if config["model"] in CLASSICAL or is_out:
        return None
    return n_epochs if n_epochs < config["epochs"] else None


def _say_folds(result: FoldsResult, out: str) -> None:
    for fold, (card, row) in enumerate(zip(result.cards, result.report["folds"], strict=True)):
        print(f"fold {fold}: {card.model_id}, macro F1 {row['macro_f1']:.3f}")
    f1 = result.report["summary"]["macro_f1"]
    print(f"macro F1 {f1['mean']:.3f} ± {f1['deviation']:.3f}")
    print(f"the report is in {out}: report.html, folds.json, scores.parquet")


if __name__ == "__main__":
    harness.leave(main())
