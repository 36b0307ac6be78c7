"""The packages that the starter's sounds come from, and their licences.

Each of these lets what is made with it be given away under Apache-2.0. Of packages with a GPL or a
share-alike licence (TimGM6mb, GeneralUser, freepats, GCompris, LMMS, GrandOrgue) nothing is learned
from; some are what the starter is tested on.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

VELOCITIES = range(1, 17)


@dataclass(frozen=True)
class Source:
    """A set of sounds, and whose it is."""

    name: str
    packages: tuple[str, ...]
    """As the registry has them; of npm with their versions."""
    registry: str
    """debian or npm; empty where the user brings a folder."""
    licence: str
    by: str
    file: str = ""
    """Of a soundfont: its path in the package."""

    def about(self) -> dict[str, str]:
        """Return what model.json says of it."""
        values = {**asdict(self), "packages": ", ".join(self.packages)}
        return {key: str(value) for key, value in values.items() if key != "file" and value}


SOUNDFONTS = (
    Source(
        "csound",
        ("csound-soundfont",),
        "debian",
        "public domain",
        "sf_GMbank.sf2; its own licence field says so",
        "usr/share/sounds/sf2/sf_GMbank.sf2",
    ),
    Source(
        "sonivox",
        ("@coderline/alphatab@1.8.4",),
        "npm",
        "Apache-2.0",
        "Sonic Network Inc.",
        "package/dist/soundfont/sonivox.sf2",
    ),
    Source(
        "fluid",
        ("fluid-soundfont-gm",),
        "debian",
        "MIT",
        "Frank Wen",
        "usr/share/sounds/sf2/FluidR3_GM.sf2",
    ),
    Source(
        "muse",
        ("musescore-general-soundfont-lossless",),
        "debian",
        "MIT; parts CC0 and public domain",
        "S. Christian Collins, Michael Cowgill, Frank Wen, Sam Gossner (VSCO 2, VCSL)",
        "usr/share/sounds/sf2/MuseScore_General_Full.sf2",
    ),
)
SALAMANDER = Source(
    "salamander",
    tuple(f"@audio-samples/piano-velocity{v}@1.0.5" for v in VELOCITIES),
    "npm",
    "CC-BY-3.0",
    "Alexander Holm, Salamander Grand Piano V3",
)
SONIC_PI = Source(
    "sonicpi",
    ("sonic-pi-samples",),
    "debian",
    "CC0",
    "authors on Freesound, as its README lists them",
)
RECORDINGS = (
    Source("FSDKaggle2018", (), "", "CC0 and CC-BY-3.0", "authors on Freesound; 110 clips"),
    Source("Iowa MIS", (), "", "public domain", "University of Iowa, 103 notes"),
    Source("SpectMorph", (), "", "CC0", "the SpectMorph project, 57 sung notes"),
)
TEST_SOUNDFONTS = (
    Source(
        "timgm",
        ("timgm6mb-soundfont",),
        "debian",
        "GPL-2",
        "Tim Brechbill",
        "usr/share/sounds/sf2/TimGM6mb.sf2",
    ),
    Source(
        "generaluser",
        ("minuet-data",),
        "debian",
        "GeneralUser GS's own",
        "S. Christian Collins",
        "usr/share/minuet/soundfonts/GeneralUser-v1.47.sf2",
    ),
)
GAMES = (
    Source("gcompris", ("gcompris-qt-data",), "debian", "GPL-3 for the most part", "GCompris"),
    Source("lmms", ("lmms-common",), "debian", "GPL-2", "the LMMS project"),
)
"""Nothing is learned from `TEST_SOUNDFONTS` and `GAMES`, and every model is scored on them."""


def fetch(source: Source, folder: Path) -> list[Path]:
    """Return the folders of a source's packages, unpacked under `folder`; fetched only once."""
    return [_fetched(source.registry, package, folder) for package in source.packages]


def soundfont(source: Source, folder: Path) -> Path:
    """Return the file of a soundfont."""
    return fetch(source, folder)[0] / source.file


def _fetched(registry: str, package: str, folder: Path) -> Path:
    out = folder / package.strip("@").replace("/", "-")
    if (out / ".done").exists():
        return out
    out.mkdir(parents=True, exist_ok=True)
    if registry == "debian":
        _run(["apt-get", "download", package], out)
        _run(["dpkg", "-x", str(next(out.glob("*.deb"))), "."], out)
    else:
        _run(["npm", "pack", "--silent", package], out)
        _run(["tar", "-xzf", str(next(out.glob("*.tgz")))], out)
    (out / ".done").touch()
    return out


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
