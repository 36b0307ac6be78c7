"""What a check of the machine is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pipeline.flags import Flag, Uri, described

if TYPE_CHECKING:
    from pipeline.audio.fetching.access import Access


@described
@dataclass(frozen=True)
class DoctorConfig:
    """What the jobs are going to be told."""

    source: Annotated[str, Flag("youtube|TEMPLATE|DIR|KIND:DIR")] = "youtube"
    """Where the audio is to come from, as build_subset takes it."""
    cookies: Annotated[str | None, Flag("FILE")] = None
    """The Netscape cookies.txt that build_subset is to use."""
    proxy: Annotated[str | None, Flag("URL")] = field(default=None, repr=False)  # has a password
    """http(s):// or socks5:// proxy for the source."""
    source_address: Annotated[str | None, Flag("IP")] = None
    """This machine's address to ask from."""
    out: Uri | None = None
    """Where the dataset, model or tags are to go; this folder if not given."""
    network: bool = False
    """Also ask the source's server for one page."""

    def access(self) -> Access:
        """Return how the source is reached; raises UsageError where that is wrong."""
        from pipeline.audio.fetching.access import Access

        return Access(self.cookies, self.proxy, self.source_address)
