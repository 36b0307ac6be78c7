"""Train an instrument tagger: a dataset in, model.safetensors and model.json out."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from jobs import harness
from jobs.harness import comma_list
from pipeline.errors import TimbreError
from pipeline.flows.fit import FitConfig, FitResult, fit
from pipeline.flows.folds import FoldsResult, cross_validate
from pipeline.learn.augment import AUGMENTATIONS
from pipeline.learn.config import NO_WEIGHTS, TrainConfig
from pipeline.learn.fine_tuning import fine_tuning_config
from pipeline.learn.networks.classical import CLASSICAL
from pipeline.learn.networks.pooling import POOLS
from pipeline.learn.networks.registry import known_names
from pipeline.learn.precision import PRECISIONS
from pipeline.learn.recipes import PRESETS, preset
from pipeline.learn.sampling import BALANCES, SAMPLINGS
from pipeline.learn.selection import SELECTIONS, best_row, chosen_by
from pipeline.report.wording import macro_text

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
    first.add_argument("--init", metavar="URI", help="fine-tune this model: its folder")
    chosen = first.parse_known_args(argv)[0]
    parser = harness.parser(__doc__, parents=[first])
    add = parser.add_argument
    add("--dataset", required=True, metavar="URI", help="the dataset's folder, from build_subset")
    add("--out", required=True, metavar="URI", help="the model's folder: a path, s3://, gs://")
    add("--workers", type=int, default=1, metavar="N", help="processes that train together")
    add("--gpu", action="store_true", help="a GPU for every worker, in bfloat16")
    add(
        "--encoder",
        type=comma_list,
        metavar="URI|URI,URI",
        help="of a probe: models, frozen",
    )
    add("--hidden", type=int, metavar="N", help="of a probe: width of its MLP; 0: a linear layer")
    add("--freeze", type=int, metavar="N", help="of --init: blocks at its beginning that stay")
    add("--pool", choices=POOLS, help="of frames over time; without it as the network does itself")
    add(
        "--teacher",
        type=comma_list,
        metavar="URI",
        help="models, with commas, to learn from",
    )
    add("--hard-share", type=float, metavar="X", help="of labels in the loss, beside teachers")
    add("--weights", metavar="imagenet|PATH|none", help="weights to begin with")
    add("--epochs", type=int, metavar="N", help="passes over the data")
    add("--batch-size", type=int, metavar="N", help="windows a step and worker")
    add("--window-s", type=float, metavar="S", help="window length in seconds")
    add("--input-size", type=harness.size, metavar="HxW", help="log-mels become HxW (mel x time)")
    add("--lr", type=float, metavar="X", help="learning rate after the warm-up")
    add("--weight-decay", type=float, metavar="X", help="L2 penalty")
    add("--head-lr", type=float, metavar="X", help="of the last layers, where it is another")
    add("--augment", type=comma_list, metavar="NAMES", help=f"some of {AUGMENTED}, or ''")
    add("--loader-processes", type=int, metavar="N", help="that randomise a worker's windows")
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
    add("--precision", choices=PRECISIONS, help="bf16 is compared with f32 before it is used")
    add("--select", choices=SELECTIONS, help="what chooses the epoch that is kept")
    add("--deterministic", action="store_true", help="the same bytes again, on GPUs too; slower")
    add("--seed", type=int, metavar="N", help="of all that is drawn")
    add("--folds", type=int, metavar="K", help="train and val in K parts by video, a model each")
    defaults = asdict(_defaults(parser, chosen))
    typed = {  # as they are typed, for --help
        "augment": ",".join(defaults["augment"]),
        "encoder": ",".join(defaults["encoder"]),
        "teacher": ",".join(defaults["teacher"]),
        "input_size": "{}x{}".format(*defaults["input_size"]),
    }
    parser.set_defaults(**defaults | typed)
    return parser


def _defaults(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> TrainConfig:
    """Return the config that flags change: of the model that is fine-tuned, or of a preset."""
    if chosen.init is None:
        return preset(chosen.preset, chosen.model)
    if chosen.preset is not None:
        parser.error(f"--preset {chosen.preset}: of a training from nothing; --init has its own")
    try:
        return fine_tuning_config(chosen.init)
    except TimbreError as error:
        parser.error(str(error))


def _say_model(result: FitResult, out: str) -> None:
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
    print(
        f"{'' if is_fitted_once else which}"
        f"val loss {best['val_loss']:.4f}, val macro F1 {best['val_macro_f1']:.3f}"
    )
    if note := card.training.get("precision_note"):
        print(f"computed in {note}")
    if (step := card.training.get("diverged_at")) is not None:
        precision = card.training["precision"]
        print(f"it ended there: the loss of step {step} was no number in {precision}; lower --lr")
    if card.untrained_classes:
        print(
            f"never named, as no clip to learn from has them: {', '.join(card.untrained_classes)}"
        )
    if left_out := card.training.get("windows", {}).get("left_out"):
        print(
            f"{left_out:,} windows of silence or noise were left out, as tagging does; "
            "--no-activity takes them"
        )
    print(f"the model is in {out}: model.safetensors, model.json, report.html")


def _say_folds(result: FoldsResult, out: str) -> None:
    for fold, (card, row) in enumerate(zip(result.cards, result.report["folds"], strict=True)):
        n_classes = len(row["per_class"])
        n_present = sum(one["n_positive"] > 0 for one in row["per_class"])
        macro = macro_text(row["macro_f1_present"], row["macro_f1"], n_present, n_classes)
        print(f"fold {fold}: {card.model_id}, macro F1 {macro}")
    f1 = result.report["summary"]["macro_f1_present"]
    print(f"macro F1 {f1['mean']:.3f} ± {f1['deviation']:.3f}")
    print(f"the report is in {out}: report.html, folds.json, scores.parquet")


if __name__ == "__main__":
    harness.exit_process(main())
