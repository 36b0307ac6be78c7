"""Train an instrument tagger: a dataset in, model.safetensors and model.json out."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from jobs import harness
from pipeline.flows.fit import FitConfig, fit
from pipeline.learn.augment import AUGMENTATIONS
from pipeline.learn.config import TrainConfig
from pipeline.learn.networks.registry import known_names
from pipeline.learn.recipes import PRESETS, preset
from pipeline.learn.sampling import SAMPLINGS

AUGMENTED = ",".join(AUGMENTATIONS)


def main(argv: list[str] | None = None) -> int:
    """Parse, train, print the summary."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--preset", choices=sorted(PRESETS), help="one of the report's runs")
    preset_name = first.parse_known_args(argv)[0].preset
    parser = harness.parser(__doc__, parents=[first])
    add = parser.add_argument
    add("--dataset", required=True, metavar="URI", help="the dataset's folder, from build_subset")
    add("--out", required=True, metavar="URI", help="the model's folder: a path, s3://, gs://")
    add("--workers", type=int, default=1, metavar="N", help="processes that train together")
    add("--gpu", action="store_true", help="a GPU for every worker, in bfloat16")
    add("--model", metavar="NAME", help=f"any timm backbone, or {', '.join(known_names())}")
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
    add("--accumulate", type=int, metavar="N", help="batches a step")
    add("--patience", type=int, metavar="N", help="epochs without a better one, then stop")
    add("--seed", type=int, metavar="N", help="of all that is drawn")
    parser.set_defaults(**asdict(preset(preset_name)))
    flags = vars(parser.parse_args(argv))
    own = {name: flags.pop(name) for name in ("dataset", "out", "workers", "gpu")}
    del flags["preset"]

    def job() -> int:
        result = fit(FitConfig(train=TrainConfig(**flags), **own))
        card = result.card
        if result.was_done:
            print("the same run has ended before: nothing to do")
        best = min(card.training["history"], key=lambda row: row["val_loss"])
        began = f"from {flags['weights']}" if flags["weights"] else "from scratch"
        print(f"{card.model_id}: trained {began}")
        print(
            f"best epoch {best['epoch']:.0f} of {len(card.training['history'])}: "
            f"val loss {best['val_loss']:.4f}, val macro F1 {best['val_macro_f1']:.3f}"
        )
        print(f"the model is in {own['out']}: model.safetensors, model.json")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    sys.exit(main())
