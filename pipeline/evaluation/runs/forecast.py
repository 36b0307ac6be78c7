"""What a build would do, in numbers: SEGMENTS beside what is done of them. PURE.

Of a folder of files a file belongs to the segments of the video whose id is its name without the
suffix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.runs.summary import cooccurrence_counts, labels_per_clip
from pipeline.selection.splits import SPLITS
from pipeline.store.matrices import label_matrix

REQUESTS_PER_SEGMENT = 4
"""Of a source over HTTP: the head, the index and the segment's bytes; a page where it has one."""
SECONDS_PER_SEGMENT = 1.5
"""What one takes without a --rate, waiting for the network: an estimate."""
GUEST_VIDEOS_PER_HOUR = 300
"""About what YouTube gives an address that is not signed in (docs/operations.md, YouTube)."""
_N_NAMED = 5


@dataclass(frozen=True)
class InFolder:
    """What a folder has of a plan."""

    folder: str
    n_there: int
    """Number of planned segments that have a file."""
    n_missing: int
    """Number of planned segments that have no file."""
    missing: Sequence[str]
    """The ids of the first of those, by name."""
    n_unasked: int
    """Files that no planned segment asks for."""
    unasked: Sequence[str]
    """The names of the first of those."""
    n_to_get: int
    """Segments with a file that no earlier run has finished."""


def look_into(
    names: Mapping[str, str], planned: pa.ChunkedArray, to_do: pa.ChunkedArray, *, folder: str
) -> InFolder:
    """Compare a folder's files with a plan.

    Parameters
    ----------
    names
        The name of each file, by the id that it is of.
    planned, to_do
        The ids of the planned segments, and of those that are not finished: one a segment.

    >>> plan = pa.chunked_array([["a", "a", "b"]])
    >>> found = look_into({"a": "a.wav", "c": "c.mp3"}, plan, plan, folder="videos")
    >>> found.n_there, found.missing, found.unasked
    (2, ['b'], ['c.mp3'])
    """
    ids = pa.array(list(names), pa.string())
    is_there = pc.is_in(planned, value_set=ids)
    missing = sorted(pc.unique(planned.filter(pc.invert(is_there))).to_pylist())
    asked = set(pc.unique(planned).to_pylist())
    unasked = sorted(name for ytid, name in names.items() if ytid not in asked)
    n_there = pc.sum(is_there).as_py() or 0
    return InFolder(
        folder,
        n_there=n_there,
        n_missing=len(planned) - n_there,
        missing=missing[:_N_NAMED],
        n_unasked=len(unasked),
        unasked=unasked[:_N_NAMED],
        n_to_get=pc.sum(pc.is_in(to_do, value_set=ids)).as_py() or 0,
    )


def forecast(
    segments: pa.Table,
    *,
    class_names: Mapping[str, str],
    counts: Mapping[str, int],
    n_to_do: int,
    rate_per_s: float | None,
    max_downloads: int,
    bytes_per_s: int,
    is_remote: bool = True,
    is_youtube: bool = False,
    cap_text: str = "",
    in_folder: InFolder | None = None,
) -> dict[str, Any]:
    """Return what is planned, what is there already, and what it will take.

    `bytes_per_s` is what a second of audio takes in the tables; `counts` says why rows were left
    out (see `selection.select.select_counts`), and `cap_text` what --max-per-class did. Of a folder
    only what is in it takes time and disk. `guest_seconds` is what YouTube's limit for guests makes
    of it: 0 of other sources.
    """
    n_to_get = n_to_do if in_folder is None else in_folder.n_to_get
    codes = list(class_names)
    labels = label_matrix(segments["classes"], codes)
    unknown = label_matrix(segments["unknown"], codes)
    durations_s = pc.subtract(segments["end_s"], segments["start_s"])
    mean_s = float(pc.mean(durations_s).as_py() or 0.0)
    each_s = 1 / rate_per_s if rate_per_s else SECONDS_PER_SEGMENT / max_downloads
    splits = segments["split"].to_numpy()
    return {
        "counts": dict(counts),
        "planned": segments.num_rows,
        "there": segments.num_rows - n_to_do,
        "to_do": n_to_do,
        "classes": {
            code: {split: int(labels[splits == split, k].sum()) for split in SPLITS}
            for k, code in enumerate(codes)
        },
        "unknown": {code: int(unknown[:, k].sum()) for k, code in enumerate(codes)},
        "cap": cap_text,
        "splits": {split: int((splits == split).sum()) for split in SPLITS},
        "labels_per_clip": labels_per_clip(labels),
        "cooccurrence": cooccurrence_counts(labels).tolist(),
        "requests": n_to_do * REQUESTS_PER_SEGMENT if is_remote else 0,
        "bytes": int(n_to_get * mean_s * bytes_per_s),
        "seconds": n_to_get * each_s,
        "guest_seconds": n_to_do / GUEST_VIDEOS_PER_HOUR * 3600 if is_youtube else 0.0,
        "in_folder": in_folder and asdict(in_folder),
    }
