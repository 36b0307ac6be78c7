"""The four regressors of timbral descriptors on a folder of kits, beside the notes' errors.

    python benchmarks/timbral_regression.py --kits kits --out regressors

The jobs run as a user would call them: the kits become a dataset, each preset `timbral-NAME` is
trained on it and measured on its training and test clips. The notes' figures are of Freesound's
10,254 percussive one-shots, divided at random; here a kit is in one split, which is harder. What is
there of an earlier run is not done again. Errors are mean absolute ones of targets of 0 to 1.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pipeline import BuildConfig, EvaluateConfig, FitConfig, build, evaluate_regression, fit, preset
from pipeline.datasets.regression_data import training_data_of
from pipeline.store.dataset import Dataset
from schemas.regression import RegressionEvaluation

NOTES = {
    "timbral-big": (0.048, 0.047),
    "timbral-7-filters": (0.048, 0.046),
    "timbral-mid": (0.155, 0.158),
    "timbral-small": (0.080, 0.081),
}
"""Training and test error of the notes."""


def measured(
    dataset: Path, out: Path, name: str, epochs: int, activation: str
) -> dict[str, RegressionEvaluation]:
    """Train one preset, unless that is done, and return its errors by split."""
    config = replace(preset(name), epochs=epochs, output_activation=activation)
    fit(FitConfig(str(dataset), str(out / name), config))
    return {
        split: evaluate_regression(
            EvaluateConfig(str(out / name), str(out / f"{name}-{split}"), str(dataset), split)
        )
        for split in ("train", "test")
    }


def main() -> None:
    """Build, train, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kits", required=True, help="a folder of folders of short sounds")
    parser.add_argument("--out", type=Path, required=True, help="a folder for all that is made")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output-activation", default="linear", choices=("linear", "sigmoid"))
    given = parser.parse_args()
    dataset = given.out / "dataset"
    build(BuildConfig((), str(dataset), f"one-shots:{given.kits}"))
    opened = Dataset.open(str(dataset))
    data = training_data_of(opened, opened.built(), preset("timbral-big"))
    with ExitStack() as kept:
        kept.enter_context(data.kept())  # the descriptors are computed once for the four
        found = {
            name: measured(dataset, given.out, name, given.epochs, given.output_activation)
            for name in NOTES
        }
    print(f"{'':<20}{'train':>8}{'notes':>8}{'test':>8}{'notes':>8}{'median':>8}{'test R2':>9}")
    for name, by_split in found.items():
        test = by_split["test"]
        print(
            f"{name:<20}{by_split['train'].mae:>8.3f}{NOTES[name][0]:>8.3f}{test.mae:>8.3f}"
            f"{NOTES[name][1]:>8.3f}{test.baseline_mae:>8.3f}{test.r2 or float('nan'):>9.3f}"
        )
    print("\ntest R2 by target")
    targets = [one["name"] for one in found["timbral-big"]["test"].targets]
    print(f"{'':<20}" + "".join(f"{name:>12}" for name in targets))
    for name, by_split in found.items():
        values = [one["r2"] for one in by_split["test"].targets]
        print(f"{name:<20}" + "".join(f"{value:>12.3f}" for value in values))


if __name__ == "__main__":
    main()
