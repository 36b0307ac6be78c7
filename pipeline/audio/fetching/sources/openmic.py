"""openmic:DIR: OpenMIC-2018's own folder.

20,000 clips of 10 s out of the Free Music Archive, no two of one track. People were asked of some
of twenty instruments in each clip, so most labels of a clip are unknown (Humphrey, Durand and
McFee, "OpenMIC-2018: An open dataset for multiple instrument recognition", ISMIR 2018).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.folder_source import FolderSource, check_folder
from pipeline.audio.fetching.sources.base import NamedSource, OwnLabels
from pipeline.errors import TableError, UsageError
from pipeline.selection.labelled import LabelledClip, Labelling, labelling_of, train_or_val
from pipeline.selection.splits import Split
from pipeline.selection.vocabulary import Vocabulary, shipped_vocabulary

LABELS = "openmic-2018-aggregated-labels.csv"
TEST, TRAIN = "partitions/split01_test.csv", "partitions/split01_train.csv"
CLIP_S = 10.0
RELEVANT = 0.5
"""From this `relevance` up an instrument is there, as its authors have it; below, it is not."""
_COLUMNS = ("sample_key", "instrument", "relevance")


class OpenMicSource(FolderSource):
    """The ogg files of the folder; an id is a `sample_key`, such as 000046_3840."""

    def _index(self) -> dict[str, Path]:
        return {path.stem: path for path in (self.folder / "audio").glob("*/*.ogg")}


def list_openmic(text: str) -> tuple[list[LabelledClip], Labelling]:
    """Return the clips of the folder, and what their labels mean.

    The test split is OpenMIC's own; a tenth of the tracks of its training split is validation.
    """
    folder = Path(text)
    vocabulary = _vocabulary()
    there, absent = _labels(folder, vocabulary.codes)
    clips = [
        LabelledClip(
            key,
            CLIP_S,
            there=tuple(there.get(key, ())),
            absent=tuple(absent.get(key, ())),
            group=track_of(key),
            split=split,
        )
        for key, split in _splits(folder).items()
    ]
    if strangers := (there.keys() | absent.keys()) - {clip.id for clip in clips}:
        raise UsageError(
            f"--source openmic:{text}: {min(strangers)} has labels in {LABELS}, but is in neither "
            f"{TRAIN} nor {TEST}; bring the three from one download"
        )
    return clips, labelling_of(vocabulary, is_complete=False)


def track_of(sample_key: str) -> str:
    """Return the track that a clip was cut from.

    >>> track_of("000046_3840")
    '000046'
    """
    return sample_key.partition("_")[0]


def _labels(folder: Path, codes: Collection[str]) -> tuple[dict[str, list[str]], ...]:
    """Return, by sample_key, the instruments that are there and those that are not."""
    there: dict[str, list[str]] = {}
    absent: dict[str, list[str]] = {}
    path = folder / LABELS
    for line, row in enumerate(_rows(path), 2):
        if row["instrument"] not in codes:
            found = f"instrument {row['instrument']!r}"
            raise TableError(str(path), line, found, f"one of {', '.join(codes)}")
        states = there if _relevance(row["relevance"], path, line) >= RELEVANT else absent
        states.setdefault(row["sample_key"], []).append(row["instrument"])
    return there, absent


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    """Yield the rows of the labels, which have a header."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        names = rows.fieldnames or ()
        if not set(_COLUMNS) <= set(names):
            raise TableError(str(path), 1, f"columns {', '.join(names)!r}", ", ".join(_COLUMNS))
        yield from rows


def _relevance(text: str | None, path: Path, line: int) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise TableError(str(path), line, f"relevance {text!r}", "a number from 0 to 1")
    return value


def _splits(folder: Path) -> dict[str, Split]:
    """Return the split of every clip, by sample_key."""
    train, test = (_keys(folder / name) for name in (TRAIN, TEST))
    if both := set(map(track_of, train)) & set(map(track_of, test)):
        raise UsageError(f"{folder / TEST}: track {min(both)} is in {TRAIN} too; expected it once")
    return {key: train_or_val(track_of(key)) for key in train} | dict.fromkeys(test, "test")


def _keys(path: Path) -> list[str]:
    """Return the sample keys of a partition, one a line."""
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]


def _vocabulary() -> Vocabulary:
    return shipped_vocabulary("openmic")


def _open(text: str, access: Access) -> OpenMicSource:
    check_folder(f"openmic:{text}", Path(text), access, needs=(LABELS, TRAIN, TEST, "audio"))
    return OpenMicSource(Path(text))


SOURCE = NamedSource(
    "openmic:",
    "openmic:DIR",
    is_path=True,
    open=_open,
    labels=OwnLabels(list_openmic, _vocabulary, has_split=lambda _: True),
)
