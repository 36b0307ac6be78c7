"""Summarise the tags that jobs.tag_catalog has written; plain Parquet, so pandas alone reads them.

.venv/bin/python examples/read_tags.py tagging
"""

import sys

import pandas as pd


def main(folder: str) -> None:
    """Print what became of the tracks, and how often each label was given."""
    tags = pd.read_parquet(f"{folder}/tags", columns=["uri", "status", "labels", "tagged_at"])
    # After a killed run a track may have two rows until the next run ends: the later one counts.
    tags = tags.sort_values("tagged_at").drop_duplicates("uri", keep="last")
    print(f"{len(tags)} tracks:", tags["status"].value_counts().to_dict())
    for label, n_tracks in tags["labels"].explode().value_counts().items():
        print(f"  {label}  {n_tracks}")


if __name__ == "__main__":
    main(sys.argv[1])
