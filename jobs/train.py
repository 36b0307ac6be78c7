"""Train an instrument tagger: a dataset in, model.safetensors and model.json out."""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction
from dataclasses import asdict

from jobs import harness
from pipeline.flows.fit import FitConfig, fit
from pipeline.learn.loop import TrainConfig


def main(argv: list[str] | None = None) -> int:
    """Parse, train, print the summary."""
    parser = harness.parser(__doc__)
    add, default = parser.add_argument, TrainConfig()
    add("--dataset", required=True, metavar="URI", help="the dataset's folder, from build_subset")
    add("--out", required=True, metavar="URI", help="the model's folder: a path, s3://, gs://")
    add("--workers", type=int, default=1, metavar="N", help="processes that train together")
    add("--gpu", action="store_true", help="a GPU for every worker, in bfloat16")
    add("--model", metavar="NAME", help="a timm backbone")
    add("--epochs", type=int, metavar="N", help="passes over the data")
    add("--batch-size", type=int, metavar="N", help="windows a step and worker")
    add("--window-s", type=float, metavar="S", help="window length in seconds")
    add("--input-size", type=harness.size, metavar="HxW", help="log-mels become HxW (mel x time)")
    add("--lr", type=float, metavar="X", help="learning rate after the warm-up")
    add("--weight-decay", type=float, metavar="X", help="L2 penalty")
    add("--augment", action=BooleanOptionalAction, help="masks, level, tilt, mixing in training")
    add("--seed", type=int, metavar="N", help="of all that is drawn")
    parser.set_defaults(**asdict(default))
    flags = vars(parser.parse_args(argv))
    own = {name: flags.pop(name) for name in ("dataset", "out", "workers", "gpu")}

    def job() -> int:
        result = fit(FitConfig(train=TrainConfig(**flags), **own))
        card = result.card
        if result.was_done:
            print("the same run has ended before: nothing to do")
        best = min(card.training["history"], key=lambda row: row["val_loss"])
        print(f"{card.model_id}: trained from scratch (no ImageNet weights)")
        print(
            f"best epoch {best['epoch']:.0f} of {len(card.training['history'])}: "
            f"val loss {best['val_loss']:.4f}, val macro F1 {best['val_macro_f1']:.3f}"
        )
        print(f"the model is in {own['out']}: model.safetensors, model.json")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    sys.exit(main())
