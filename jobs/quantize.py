"""Make a model int8, which a CPU runs up to twice as fast, and say what that costs."""

from __future__ import annotations

from jobs import harness
from pipeline.flows.quantize import QuantizeConfig, quantize


def main(argv: list[str] | None = None) -> int:
    """Parse, quantise, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--model", required=True, metavar="URI", help="the model's folder, from train")
    add("--dataset", required=True, metavar="URI", help="a dataset's folder: calibrates, scores")
    add("--out", required=True, metavar="URI", help="the folder for the int8 model")
    add("--n-windows", type=int, default=300, metavar="N", help="of the training split, calibrate")
    add("--split", default="val", choices=("val", "test"), help="the split to score on")
    add(
        "--max-drop",
        type=harness.share,
        default=0.01,
        metavar="X",
        help="exit with 3 when int8 costs more macro F1 than this",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the draw of windows")
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        report = quantize(QuantizeConfig(**flags))
        calibration = report["quantized"]["calibration"]
        print(
            f"{report['model_id']}: calibrated with {calibration['n_windows']} windows of "
            f"{calibration['n_clips']} clips; on {flags['split']}:"
        )
        for name, row in report["precisions"].items():
            print(
                f"  {name:4}  macro F1 {row['macro_f1_present'] or 0:.3f}  "
                f"micro F1 {row['micro_f1']:.3f}  "
                f"mAP {row['mean_average_precision'] or 0:.3f}  "
                f"largest difference {row['largest_difference']:.3f}  "
                f"{row['windows_per_cpu_s']:.1f} windows a second and core"
            )
        print(f"the model is in {flags['out']}, these figures in quantize.json there")
        if report["drop"] <= flags["max_drop"]:
            return harness.OK
        return harness.past_limit(
            f"macro F1 falls by {report['drop']:.3f}, more than --max-drop "
            f"{flags['max_drop']:g} allows"
        )

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
