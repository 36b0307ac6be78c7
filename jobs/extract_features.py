"""Extract features of a dataset's clips: one table per feature, by frame or pooled over them."""

from __future__ import annotations

from jobs import harness
from pipeline.api import extract_features
from pipeline.configs.extract import ExtractConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, extract, print the summary."""
    flags = vars(harness.parser(__doc__, ExtractConfig).parse_args(argv))

    def job() -> int:
        done = extract_features(from_flags(ExtractConfig, flags))
        print(f"{done.n_clips} clips in {done.n_shards} shards done now")
        for name, feature in done.record.features.items():
            print(f"  {name}: {len(feature['rows'])} rows")
        print(f"all of it is in {flags['out']}: features.json, one folder per feature")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
