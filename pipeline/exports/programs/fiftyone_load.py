"""Load the tracks of fiftyone.jsonl into FiftyOne: `python fiftyone_load.py [NAME]`.

FiftyOne has no media type for audio, so a track is a sample of media type "unknown": one can filter
and sort by instruments, confidences and attributes, and plot the embeddings, but hears and sees
nothing of the sound.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import fiftyone as fo
import numpy as np


def samples(path: Path) -> Iterator[fo.Sample]:
    """Yield a sample for each line."""
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for row in map(json.loads, file):
            found = [
                fo.Classification(label=one["label"], confidence=one["confidence"])
                for one in row["instruments"]
            ]
            fields = row["fields"]
            if fields["embedding"] is not None:
                fields["embedding"] = np.asarray(fields["embedding"], np.float32)
            yield fo.Sample(
                filepath=fields["uri"],
                media_type="unknown",
                instruments=fo.Classifications(classifications=found),
                **fields,
            )


def load(name: str) -> fo.Dataset:
    """Make the dataset, in the place of one of that name."""
    dataset = fo.Dataset(name, persistent=True, overwrite=True)
    dataset.add_samples(samples(Path(__file__).with_name("fiftyone.jsonl")))
    return dataset


if __name__ == "__main__":
    print(load(sys.argv[1] if len(sys.argv) > 1 else "timbre"))
