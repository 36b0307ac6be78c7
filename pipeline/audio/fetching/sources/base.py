"""What a source of audio is: an id in, a file that can seek out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.remote_file import Meter


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
