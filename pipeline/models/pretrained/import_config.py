"""What an import of a published tagger is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Flag, Seconds, Uri, described
from pipeline.models.names import FAMILIES

ALL = "all"
_VARIANTS = "; ".join(f"{name}: {', '.join(names)}" for name, names in FAMILIES.items() if names)


@described
@dataclass(frozen=True)
class ImportConfig:
    """What to import, and to where."""

    family: Annotated[str, Flag(choices=tuple(FAMILIES))]
    """Family of networks that hear alike; docs/models.md says how good they are."""
    out: Uri
    """The folder for the model."""
    weights: Annotated[str | None, Flag("URL|PATH")] = None
    """The authors' file or folder, or an http address; fetched from them if not given."""
    variant: Annotated[str | None, Flag("NAME", known=_VARIANTS)] = None
    """One of the family's ({known}); the first if not given."""
    classes: Annotated[str | None, Flag("instruments|openmic|nsynth|jamendo|all|TOML")] = None
    """The eleven instruments, the classes of OpenMIC-2018, NSynth or MTG-Jamendo, all that the
    network has, or classes of your own; if not given, the eleven, or jamendo where the family has
    not all of these."""
    window_s: Seconds | None = None
    """Length of a window in s; the network's own if not given."""
    hop_s: Seconds | None = None
    """From one window to the next in s; the network's own, or that length, if not given."""
