"""Extract features of a dataset's clips: a table a feature, by frame or pooled over the frames."""

from __future__ import annotations

from jobs import harness
from pipeline.audio.features import FEATURES
from pipeline.flows.extract import ExtractConfig, extract_features

_NAMES = f"comma-separated names: {', '.join(FEATURES)}"
_PREPARE = "steps before the features: lowpass:HZ, denoise, standardise (training split)"


def main(argv: list[str] | None = None) -> int:
    """Parse, extract, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, metavar="URI", help="a dataset's folder, from build_subset")
    add("--features", required=True, type=harness.comma_list, metavar="NAMES", help=_NAMES)
    add("--out", required=True, metavar="URI", help="the folder for the tables")
    add(
        "--pool",
        type=harness.comma_list,
        default=(),
        metavar="mean,var",
        help="clip-level statistics",
    )
    add("--prepare", default="", metavar="STEPS", help=_PREPARE)
    add("--n-fft", type=int, default=2048, metavar="N", help="length of a frame in samples")
    add("--hop", type=int, default=512, metavar="N", help="distance of frames in samples")
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        meta = extract_features(ExtractConfig(**flags))
        print(f"{meta['n_clips_done_now']} clips in {meta['n_shards_done_now']} shards done now")
        for name, feature in meta["features"].items():
            print(f"  {name}: {len(feature['rows'])} rows")
        print(f"all of it is in {flags['out']}: features.json, a folder a feature")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
