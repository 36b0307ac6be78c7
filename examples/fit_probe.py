"""Fit a linear head on the starter's embeddings of a few sounds of one's own, and evaluate it.

.venv/bin/python examples/fit_probe.py FOLDER

FOLDER has a sub-folder for each class, named by it, with at least five files in each. No Ray; to
train on thousands of clips, see jobs.train --model probe.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline import TrackTagger, describe, inference_config, list_tracks


def main(folder: str) -> None:
    """Print how well five folds tell the classes apart."""
    config = replace(inference_config(), embeddings=True)
    tagger = TrackTagger(config)
    described = describe(list_tracks(folder), config)
    rows = [row for one in described for row in embedded(tagger, one)]
    classes = [Path(row["uri"]).parent.name for row in rows]
    vectors = np.array([row["embedding"] for row in rows])  # [n_files, n_features]
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    found = cross_val_predict(head, vectors, classes, cv=5)
    print(classification_report(classes, found, zero_division=0))


def embedded(tagger: TrackTagger, described: pa.Table) -> list[dict[str, Any]]:
    """Return the rows that have an embedding: a file that does not decode has none."""
    return [row for row in tagger(described).to_pylist() if row["status"] == "ok"]


if __name__ == "__main__":
    main(sys.argv[1])
