"""The whole pipeline on rendered music: select, build, train, evaluate, tag. Offline."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from jobs import build_subset, evaluate, harness, tag_catalog, train
from pipeline.errors import TimbreError
from pipeline.flags import Flag, described, from_flags, words
from pipeline.models.starter import STARTER, has_starter

if TYPE_CHECKING:
    from pipeline.demo.media_server import MediaServer

SEED = 334  # every class is in every split
TRAINING = "--model resnet10t --input-size 128x32 --epochs 14 --batch-size 32 --lr 2e-3"


@described
@dataclass(frozen=True)
class DemoConfig:
    """Where to, and with which instruments."""

    out: Annotated[str, Flag("DIR")] = "demo"
    """The folder that everything is written into."""
    soundfonts: Annotated[tuple[str, ...], words("FILES")] = ()
    """General MIDI .sf2 files to render with, with commas between; TimGM6mb and those that are
    installed if not given."""


def main(argv: list[str] | None = None) -> int:
    """Parse, make the music, run the jobs as a user would, print what came out."""
    config = from_flags(DemoConfig, vars(harness.parser(__doc__, DemoConfig).parse_args(argv)))
    return harness.run(lambda: demo(Path(config.out).absolute(), config.soundfonts))


def demo(root: Path, soundfonts: Sequence[str] = ()) -> int:
    """Run the demo in a folder; what an earlier run made there is not made again."""
    from pipeline.demo.outcome import summary
    from pipeline.flows.cluster import ray_session
    from pipeline.store.folder import Folder
    from pipeline.store.out import DEMO, check_out

    check_out(str(root), DEMO)
    began = monotonic()
    with Folder(str(root)).claimed():
        sheets, server = render(root, soundfonts)
        data, model, music = root / "dataset", root / "model", root / "catalogue"
        with server as origin, ray_session(min_cpus=4):
            step(build_subset.main, "--segments", *sheets, "--source", origin.url_template,
                 "--out", data, "--shard-size", 16)  # fmt: skip
            step(train.main, "--dataset", data, "--out", model, *TRAINING.split())
        # So few clips and tracks are scored in this process, where no Ray runs any more.
        step(evaluate.main, "--model", model, "--dataset", data, "--out", root / "evaluation")
        step(tag_catalog.main, "--catalog", music, "--model", model, "--out", root / "tagging")
        side_by_side(root)
    print(summary(root, seconds=monotonic() - began))
    return harness.OK


def render(root: Path, soundfonts: Sequence[str]) -> tuple[tuple[Path, Path], MediaServer]:
    """Render the videos and the library; return the segments CSVs, and what serves the videos."""
    from pipeline.demo import catalogue, corpus
    from pipeline.demo.media_server import MediaServer
    from pipeline.demo.recording import write_chosen
    from pipeline.demo.soundfonts import usable
    from pipeline.flows.cluster import own_cpus

    fonts, lines = usable(soundfonts)
    played = "a General MIDI soundfont"
    if len(fonts) > 1:
        played = f"{len(fonts)} General MIDI soundfonts ({', '.join(f.name for f in fonts)})"
    for line in (*lines, f"Rendering music with {played}: this demo holds no real recordings."):
        print(line)
    workers, plan = own_cpus(), corpus.plan_corpus(SEED)
    corpus.render_corpus(plan, root / "videos", workers=workers, fonts=fonts)
    tracks = catalogue.render_catalogue(root / "catalogue", SEED, workers=workers, fonts=fonts)
    videos = corpus.corpus_recordings(plan, root / "videos", fonts)
    write_chosen(root, [*videos, *(track.recording for track in tracks)])
    sheets = corpus.write_segments_csv(plan, root / "segments")
    return sheets, MediaServer(root / "videos", corpus.faults_of(plan))


def side_by_side(root: Path) -> None:
    """Tag the library with the starter, too, and hold both to what was rendered."""
    if not has_starter():
        print("\nThis package has no starter, so the demo's model is the only one that tags.")
        return
    step(tag_catalog.main, "--catalog", root / "catalogue", "--out", root / "tagging-starter")
    for model, name in ((root / "model", "tagging"), (STARTER, "tagging-starter")):
        step(evaluate.main, "--model", model, "--tags", root / name, "--truth", root / "truth.csv",
             "--out", root / f"evaluation-{name}")  # fmt: skip


def step(job: Callable[[list[str]], int], *flags: object) -> None:
    """Print a job's command line and run it."""
    words = [str(flag) for flag in flags]
    print(f"\n$ python -m {job.__module__} {shlex.join(words)}", flush=True)
    code = job(words)
    if code == harness.INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise TimbreError(f"{job.__module__} ended with exit code {code}")


if __name__ == "__main__":
    harness.exit_process(main())
