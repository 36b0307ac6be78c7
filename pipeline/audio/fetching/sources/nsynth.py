"""nsynth:DIR: NSynth's own folders.

305,979 notes of 4 s, sampled at 16 kHz, of instruments of eleven families; an instrument of the
validation or test split is not in the training split (Engel et al., "Neural audio synthesis of
musical notes with WaveNet autoencoders", ICML 2017).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.folder_source import FolderSource, check_folder
from pipeline.audio.fetching.sources.base import NamedSource, OwnLabels
from pipeline.errors import UsageError
from pipeline.selection.labelled import LabelledClip, Labelling, labelling_of
from pipeline.selection.splits import Split
from pipeline.selection.vocabulary import Vocabulary, shipped_vocabulary

FOLDERS: Mapping[str, Split] = {
    "nsynth-train": "train",
    "nsynth-valid": "val",
    "nsynth-test": "test",
}
EXAMPLES = "examples.json"
NOTE_S = 4.0


class NSynthSource(FolderSource):
    """The wav files of the folders; an id is a `note_str`, such as bass_synthetic_033-022-050."""

    def _index(self) -> dict[str, Path]:
        there = (self.folder / name / "audio" for name in FOLDERS)
        return {path.stem: path for audio in there for path in audio.glob("*.wav")}


def list_nsynth(text: str) -> tuple[list[LabelledClip], Labelling]:
    """Return the notes of the folders that are there, and what their labels mean.

    The splits are NSynth's own; the notes of one instrument are a group.
    """
    vocabulary = shipped_vocabulary("nsynth")
    clips = [
        clip
        for name, split in FOLDERS.items()
        for clip in _clips(Path(text, name, EXAMPLES), split, vocabulary)
    ]
    return clips, labelling_of(vocabulary, is_complete=True)


def _clips(path: Path, split: Split, vocabulary: Vocabulary) -> Iterator[LabelledClip]:
    """Yield the notes of one examples.json; none where its folder was not downloaded."""
    codes = vocabulary.codes
    for note, about in _examples(path).items():
        family, instrument = _field(path, note, about, "instrument_family_str"), _instrument(note)
        if family not in codes:
            raise UsageError(
                f"{path}: {note} has the family {family!r}; expected one of {', '.join(codes)}"
            )
        yield LabelledClip(note, NOTE_S, there=(family,), group=instrument, split=split)


def _examples(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        return {}
    try:
        examples = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: {error}; expected NSynth's {EXAMPLES}, the notes by their names"
        ) from error
    if not isinstance(examples, dict):
        raise UsageError(f"{path}: a {type(examples).__name__}; expected the notes by their names")
    return examples


def _field(path: Path, note: str, about: Any, key: str) -> str:
    if not isinstance(about, dict) or key not in about:
        raise UsageError(f"{path}: {note} has no {key}; expected NSynth's {EXAMPLES}")
    return str(about[key])


def _instrument(note: str) -> str:
    """Return the instrument of a note: its name without pitch and velocity.

    >>> _instrument("bass_synthetic_033-022-050")
    'bass_synthetic_033'
    """
    return note.rsplit("-", 2)[0]


def _vocabulary() -> Vocabulary:
    return shipped_vocabulary("nsynth")


def _open(text: str, access: Access) -> NSynthSource:
    folder = Path(text)
    there = [name for name in FOLDERS if (folder / name).is_dir()]
    needs = tuple(f"{name}/{EXAMPLES}" for name in there) or (f"nsynth-train/{EXAMPLES}",)
    check_folder(f"nsynth:{text}", folder, access, needs=needs)
    return NSynthSource(folder)


SOURCE = NamedSource(
    "nsynth:",
    "nsynth:DIR",
    is_path=True,
    open=_open,
    labels=OwnLabels(list_nsynth, _vocabulary, has_split=lambda _: True),
)
