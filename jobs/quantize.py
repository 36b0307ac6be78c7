"""Make a model int8, which a CPU runs up to twice as fast, and say what that costs."""

from __future__ import annotations

from jobs import harness
from pipeline.api import quantize
from pipeline.configs.quantize import QuantizeConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, quantise, print the summary."""
    flags = vars(harness.parser(__doc__, QuantizeConfig).parse_args(argv))

    def job() -> int:
        record = quantize(from_flags(QuantizeConfig, flags))
        calibration = record.quantized["calibration"]
        print(
            f"{record.model_id}: calibrated with {calibration['n_windows']} windows of "
            f"{calibration['n_clips']} clips; on {flags['split']}:"
        )
        for name, row in record.precisions.items():
            print(
                f"  {name:4}  macro F1 {row['macro_f1_present'] or 0:.3f}  "
                f"micro F1 {row['micro_f1']:.3f}  "
                f"mAP {row['mean_average_precision'] or 0:.3f}  "
                f"largest difference {row['largest_difference']:.3f}  "
                f"{row['windows_per_cpu_s']:.1f} windows a second and core"
            )
        print(f"the model is in {flags['out']}, these figures in quantize.json there")
        if record.drop <= flags["max_drop"]:
            return harness.OK
        return harness.past_limit(
            f"macro F1 falls by {record.drop:.3f}, more than --max-drop "
            f"{flags['max_drop']:g} allows"
        )

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
