"""Which selected segments `--max-per-class` keeps, and how many it drops. PURE."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.selection.splits import SPLITS


def cap_classes(
    chosen: pa.Table, codes: Sequence[str], *, most: int
) -> tuple[pa.Table, dict[str, int]]:
    """Return the segments that remain where no class may have more than `most`, in their order.

    Segments are gone through by the rarest of their classes, the rarest class first, and in it by a
    hash of their id, so that the same are taken on every machine; one is left out where any of its
    classes has `most` already. So rare classes keep what they have, and of the commonest, which
    many clips of others have too, no more are taken than may be.

    Parameters
    ----------
    chosen : columns segment_id and classes, and any others
    codes : the class codes, in order
    most : segments of a class, at most

    Returns
    -------
    The segments, and by code how many of the segments that have the class were left out.
    """
    classes = chosen["classes"].to_pylist()
    counts = Counter(code for row in classes for code in row)
    rank = {code: k for k, code in enumerate(sorted(codes, key=lambda code: counts[code]))}
    hashes = [_hash_of(one) for one in chosen["segment_id"].to_pylist()]
    last = len(codes)  # clips without any class, which all remain
    rarest = [min((rank[code] for code in row), default=last) for row in classes]
    order = sorted(range(len(classes)), key=lambda i: (rarest[i], hashes[i]))
    taken: Counter[str] = Counter()
    kept = []
    for i in order:
        if all(taken[code] < most for code in classes[i]):
            taken.update(classes[i])
            kept.append(i)
    return chosen.take(sorted(kept)), {code: counts[code] - taken[code] for code in codes}


def cap_classes_of_splits(chosen: pa.Table, codes: Sequence[str], *, most: int) -> pa.Table:
    """Return the segments that remain where no class may have more than `most` in any split.

    `chosen` also has a column `split`; the splits come one after the other (see `cap_classes`).
    """
    parts = (chosen.filter(pc.equal(chosen["split"], split)) for split in SPLITS)
    return pa.concat_tables([cap_classes(part, codes, most=most)[0] for part in parts])


def cap_text(cap: int, n_segments: int, left_out: dict[str, int]) -> str:
    """Return what to say of a cap.

    >>> cap_text(50, 31, {"cel": 0, "gel": 2, "voi": 30})
    'left out by --max-per-class 50: 31 segments (gel 2, voi 30)'
    """
    named = ", ".join(f"{code} {n:,d}" for code, n in left_out.items() if n)
    aside = f" ({named})" if named else ""
    return f"left out by --max-per-class {cap}: {n_segments:,d} segments{aside}"


def _hash_of(segment_id: str) -> bytes:
    return hashlib.blake2b(segment_id.encode(), digest_size=8).digest()
