"""What a source of audio is: an id in, a file that can seek out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.remote_file import Meter
from pipeline.selection.labelled import LabelledClip, Labelling
from pipeline.selection.vocabulary import Vocabulary


class Source(Protocol):
    """Where the audio comes from."""

    is_remote: bool
    """Whether there is a line that can fail: a folder has none."""

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open one item for the decoder, as a file that can seek, and count what it costs.

        Raises FetchFault, or ConfigurationFault where nothing can work.
        """


@dataclass(frozen=True)
class OwnLabels:
    """What a source brings that needs no segments CSVs: its own clips, labels and classes."""

    clips: Callable[[str], tuple[Sequence[LabelledClip], Labelling]]
    """From what follows the prefix. UsageError where a file is not what was expected."""
    vocabulary: Callable[[], Vocabulary]
    """The classes of a build that is not told any."""
    has_split: Callable[[str], bool]
    """Whether the clips have a split of their own; otherwise --split divides their groups."""
    has_labels: Callable[[str], bool] = lambda _: True
    """Whether anything is known of the classes; without, all classes of all clips are unknown."""


@dataclass(frozen=True)
class NamedSource:
    """A kind of source, by how `--source` names it."""

    prefix: str
    """What the text begins with, the colon included: `archive:`."""
    usage: str
    """What stands there, for messages: `archive:FILE.zip`."""
    is_path: bool
    """Whether a path follows the prefix: workers get it absolute, and --out may not be in it."""
    open: Callable[[str, Access], Source]
    """From what follows the prefix. UsageError where that is wrong."""
    labels: OwnLabels | None = None
    """None where segments CSVs say what is wanted."""
    has_name: bool = False
    """Whether a name and a colon stand before the path: `archive:NAME:FILE.zip`."""

    def place(self, source: str) -> tuple[str, str | None]:
        """Return the prefix of a `--source`, with the name, and its path; None if it has none."""
        text = source.removeprefix(self.prefix)
        name, colon, path = text.partition(":") if self.has_name else ("", "", text)
        return f"{self.prefix}{name}{colon}", (path or None) if self.is_path else None
