"""mirdata:NAME:DIR: a data set that mirdata knows, as it was downloaded.

mirdata (pip install '.[mirdata]') reads the metadata of many data sets, each in its own form, and
says where their audio files lie. `ADAPTERS` are the sets whose metadata names instruments, and the
one-shots of Freesound, which have no labels (Ramires et al., "Neural percussive synthesis
parameterised by high-level timbral features", ICASSP 2020; for `jobs.train --task regression`).
mirdata is asked where a build is planned, and not by the workers, which know a file by its path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.folder_source import TreeSource, check_folder, id_in_tree
from pipeline.audio.fetching.sources.base import NamedSource, OwnLabels
from pipeline.errors import UsageError
from pipeline.selection.class_states import Mids
from pipeline.selection.instrument_names import mids_of_name
from pipeline.selection.irmas import NOMINAL_S
from pipeline.selection.labelled import LabelledClip, Labelling
from pipeline.selection.splits import Split
from pipeline.selection.vocabulary import default_vocabulary


@dataclass(frozen=True)
class Adapter:
    """What of one of mirdata's tracks is what, for a data set that names instruments."""

    instruments: Callable[[Any], Sequence[str]]
    """The instruments of a track, as the set names them."""
    group: Callable[[Any], str]
    """What a track was cut from: the recording, the session, the artist."""
    split: Callable[[Any], Split] | None = None
    """The set's own; None where it has none, and --split divides the groups."""
    audio_path: str = "audio_path"
    """The attribute of a track that holds the path of its audio."""
    is_complete: bool = True
    """Whether the instruments are all that sound in a track."""
    has_labels: bool = True
    """Whether the set says anything of instruments; without, all classes of a track are unknown."""


_FOLDS: tuple[Split, ...] = ("train", "train", "train", "val", "test")
_SUBSETS: dict[str, Split] = {"training": "train", "validation": "val", "test": "test"}

ADAPTERS = {
    "good_sounds": Adapter(
        lambda track: [track.instrument], lambda track: str(track.sound_info["pack_id"])
    ),
    "medley_solos_db": Adapter(
        lambda track: [track.instrument],
        lambda track: str(track.song_id),
        lambda track: _SUBSETS[track.subset],
    ),
    "medleydb_pitch": Adapter(lambda track: [track.instrument], lambda track: str(track.artist)),
    "orchset": Adapter(
        lambda track: track.predominant_melodic_instruments,
        lambda track: f"{track.composer} {track.work}",
        audio_path="audio_path_mono",
        is_complete=False,
    ),
    "tinysol": Adapter(
        lambda track: [track.instrument_full],
        lambda track: str(track.track_id),
        lambda track: _FOLDS[track.split],
    ),
    "freesound_one_shot_percussive_sounds": Adapter(
        lambda track: [],
        lambda track: str(track.username),  # who recorded it: sounds of one are alike
        is_complete=False,
        has_labels=False,
    ),
}
"""By mirdata's name of the set."""


def list_mirdata(text: str) -> tuple[list[LabelledClip], Labelling]:
    """Return the tracks of a set, each a clip as a whole, and what their labels mean."""
    name, folder = _parts(text)
    adapter = ADAPTERS[name]
    try:
        tracks = _mirdata().initialize(name, data_home=str(folder)).load_tracks()
        clips = [_clip(track, adapter, folder) for track in tracks.values()]
    except FileNotFoundError as error:
        raise UsageError(
            f'--source mirdata:{text}: {error}; run .venv/bin/python -c "import mirdata; '
            f"mirdata.initialize('{name}', data_home='{folder}').download()\", or with "
            "download(['index']) where the set is there already"
        ) from error
    names = {label for clip in clips for label in clip.there}
    return clips, Labelling({one: _mids(one, text) for one in names}, adapter.is_complete)


def _mirdata() -> Any:
    try:
        import mirdata
    except ImportError as error:
        raise UsageError(
            f"--source mirdata: needs mirdata: pip install '.[mirdata]' ({error})"
        ) from error
    return mirdata


def _clip(track: Any, adapter: Adapter, folder: Path) -> LabelledClip:
    path = Path(getattr(track, adapter.audio_path))
    try:
        duration_s = soundfile.info(str(path)).duration
    except soundfile.LibsndfileError:  # the build opens it again, and says why it cannot
        duration_s = NOMINAL_S
    return LabelledClip(
        id_in_tree(path, folder),
        duration_s,
        there=tuple(adapter.instruments(track)),
        group=adapter.group(track),
        split=adapter.split and adapter.split(track),
    )


def _mids(label: str, text: str) -> Mids:
    mids = mids_of_name(label)
    if mids is None:
        raise UsageError(
            f"--source mirdata:{text}: no AudioSet id is known for the instrument {label!r}; add "
            "it to pipeline/selection/instrument_names.py"
        )
    return mids


def _parts(text: str) -> tuple[str, Path]:
    """Return the name of the set and its folder."""
    name, _, path = text.partition(":")
    if name not in ADAPTERS or not path:
        raise UsageError(
            f"--source mirdata:{text}: expected mirdata:NAME:DIR, and NAME one of "
            f"{', '.join(ADAPTERS)}"
        )
    return name, Path(path)


def _has_split(text: str) -> bool:
    return ADAPTERS[_parts(text)[0]].split is not None


def _has_labels(text: str) -> bool:
    return ADAPTERS[_parts(text)[0]].has_labels


def _open(text: str, access: Access) -> TreeSource:
    _, folder = _parts(text)
    check_folder(f"mirdata:{text}", folder, access, needs=())
    return TreeSource(folder)


SOURCE = NamedSource(
    "mirdata:",
    "mirdata:NAME:DIR",
    is_path=True,
    open=_open,
    labels=OwnLabels(list_mirdata, default_vocabulary, _has_split, _has_labels),
    has_name=True,
)
