"""What each part of the starter's recipe brings, on sources that were not learned from.

    python benchmarks/ablations.py --recordings FOLDER [--mn04 FILE] [--yamnet FILE]
        [--folder /tmp/starter-again] [--windows 3000] [--steps 300] [--seeds 3]
        [--parts students probes sources]

- students: small networks from nothing, on windows of one, two and four soundfonts, with and
  without recordings, randomisation and mixtures;
- probes: each encoder with one layer or two, on rendered windows, recordings, or both;
- sources: the teachers' probe without one source at a time, on that source's windows. It takes the
  pool that `benchmarks/starter.py` has left in the folder.

FSDKaggle2018 is held out of the first two: its recordings are the test, and so are clips of two
soundfonts that nothing learns from. Shown are macro F1 (by the highest class; of windows with
several classes, at 0.5) and mAP, over the classes that are there: mean and range over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, f1_score
from starter import make_sounds, unseen_clips, without
from starter_steps.encoders import Teacher, encoded, teachers
from starter_steps.held_out import clip_scores, truth_of
from starter_steps.notes import CODES
from starter_steps.pool import (
    N_WINDOW,
    REAL,
    WINDOWS,
    Clip,
    Sounds,
    recordings,
    write_pool,
)
from starter_steps.render import SAMPLE_RATE_HZ
from starter_steps.sources import SOUNDFONTS
from starter_steps.student import StudentConfig, train_student
from starter_steps.teacher import fit_probe, probe_scores

from pipeline.arrays import Bools, Float32, Int64

Pool = dict[str, Float32]
Scores = dict[str, Float32]  # by test

TEST_SOURCE = f"{REAL}FSDKaggle2018"
N_PROBE_STEPS = 600
HEADS = {"one layer": 0, "two layers": 256}
MIXED_THRESHOLD = 0.5
RECIPE = "four soundfonts, recordings, randomised, mixtures"


@dataclass(frozen=True)
class Variant:
    """Which windows a student learns from."""

    n_soundfonts: int = 4
    real_share: float = 0.45
    randomised: bool = True
    mixtures: bool = True


VARIANTS = {
    "one soundfont": Variant(1, 0.0),
    "two soundfonts": Variant(2, 0.0),
    "four soundfonts": Variant(4, 0.0),
    RECIPE: Variant(),
    "the same, not randomised": Variant(randomised=False),
    "the same, no mixtures": Variant(mixtures=False),
}


@dataclass(frozen=True)
class Bench:
    """What the parts share."""

    flags: argparse.Namespace
    sounds: Path
    learned: list[Clip]
    """The recordings that are learned from."""
    tests: dict[str, list[Clip]]
    """The clips that models are scored on, by name."""
    encoders: list[Teacher]


def main() -> None:
    """Run the parts that are asked for, and print a table each."""
    parts = {"students": students, "probes": probes, "sources": sources}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, metavar="DIR")
    parser.add_argument("--mn04", type=Path, metavar="FILE", help="fetched when left out")
    parser.add_argument("--yamnet", type=Path, metavar="FILE", help="fetched when left out")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/starter-again"))
    parser.add_argument("--windows", type=int, default=3000, help="of each variant")
    parser.add_argument("--steps", type=int, default=300, help="of a student")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    flags = parser.parse_args()
    sounds = flags.folder / "sounds"
    sounds.mkdir(parents=True, exist_ok=True)
    make_sounds(flags.folder / "packages", sounds)
    real = recordings(flags.recordings)
    tests = {
        "FSDKaggle2018": [clip for clip in real if clip.source == TEST_SOURCE],
        **unseen_clips(flags.folder),
    }
    learned = [clip for clip in real if clip.source != TEST_SOURCE]
    both = teachers(flags.folder / "teachers", flags.mn04, flags.yamnet)
    bench = Bench(flags, sounds, learned, tests, both)
    for name in flags.parts:
        parts[name](bench)


def students(bench: Bench) -> None:
    """Train a network on each variant, once a seed; no teacher, only windows and labels."""
    truths = {name: truth_of(clips) for name, clips in bench.tests.items()}
    for name, variant in VARIANTS.items():
        pool = pool_of(bench, name, variant)

        def scores(seed: int, pool: Pool = pool) -> Scores:
            config = StudentConfig(n_steps=bench.flags.steps, soft=0.0, embeddings=0.0, seed=seed)
            tagger = train_student(pool, pool["targets"], config)
            return {test: clip_scores(tagger, clips) for test, clips in bench.tests.items()}

        show(name, scores, truths, bench.flags.seeds)


def probes(bench: Bench) -> None:
    """Fit heads of two sizes on each encoder and on both, on three sets of windows."""
    both = pool_of(bench, RECIPE, VARIANTS[RECIPE])
    data = {
        "rendered": pool_of(bench, "four soundfonts", VARIANTS["four soundfonts"]),
        "recordings": rows(both, lambda names: all(one.startswith(REAL) for one in names)),
        "both": both,
    }
    n_first = bench.encoders[0].n_features
    columns = {"mn04": slice(0, n_first), "YAMNet": slice(n_first, None), "both": slice(None)}
    truths = {test: truth_of(clips) for test, clips in bench.tests.items()}
    features = {test: features_of(bench, clips) for test, clips in bench.tests.items()}
    for encoder, head, windows in product(columns, HEADS, data):
        pool, kept = data[windows], columns[encoder]

        def scores(seed: int, pool: Pool = pool, kept: slice = kept, head: str = head) -> Scores:
            known = pool["features"][:, kept], pool["targets"], pool["is_known"]
            probe = fit_probe(*known, seed=seed, n_steps=N_PROBE_STEPS, n_hidden=HEADS[head])
            return {
                test: mean_of(probe_scores([probe], found[:, kept]), owners)
                for test, (found, owners) in features.items()
            }

        show(f"{encoder}, {head}, {windows}", scores, truths, bench.flags.seeds)


def sources(bench: Bench) -> None:
    """Leave out each source in turn, and score its windows."""
    paths = sorted(bench.flags.folder.glob("pool-*-*.npz"))
    if not paths:
        raise SystemExit(f"{bench.flags.folder} has no pool; run benchmarks/starter.py first")
    parts = [np.load(path) for path in paths]
    keys = ("features", "targets", "is_known", "sources")
    pool = {key: np.concatenate([one[key] for one in parts]) for key in keys}
    for name in sorted({name for one in pool["sources"].tolist() for name in one.split("|")}):
        test = rows(pool, lambda found, name=name: set(found) == {name})  # type: ignore[misc]
        learned = without(pool, [name])

        def scores(seed: int, learned: Pool = learned, test: Pool = test) -> Scores:
            known = learned["features"], learned["targets"], learned["is_known"]
            probe = fit_probe(*known, seed=seed, n_steps=N_PROBE_STEPS)
            return {"itself": probe_scores([probe], test["features"])}

        truth = np.asarray(test["targets"] > 0)
        title = f"without {name}, on {len(truth)} windows of {truth.any(axis=0).sum()} classes"
        show(title, scores, {"itself": truth}, bench.flags.seeds)


def pool_of(bench: Bench, name: str, variant: Variant) -> Pool:
    """Return the windows of a variant; they are made only once."""
    path = bench.flags.folder / f"ablation-{name.replace(' ', '-')}-{bench.flags.windows}.npz"
    if not path.exists():
        fonts = [one.name for one in SOUNDFONTS[: variant.n_soundfonts]]
        if variant.n_soundfonts == len(SOUNDFONTS):
            fonts += ["salamander", "sonicpi"]
        drawn = Sounds(
            [bench.sounds / f"{one}.npz" for one in fonts],
            bench.learned if variant.real_share else [],
            np.random.default_rng(0),
            real_share=variant.real_share,
        )
        how = {"is_randomised": variant.randomised, "has_mixtures": variant.mixtures}
        write_pool(drawn, bench.encoders, path, n_windows=bench.flags.windows, **how)
    kept = np.load(path)
    return {key: kept[key] for key in kept.files}


def rows(pool: Pool, is_kept: Callable[[list[str]], bool]) -> Pool:
    """Return the windows whose sources are such."""
    keeps = np.array([is_kept(str(one).split("|")) for one in pool["sources"]])
    return {key: values[keeps] for key, values in pool.items()}


def features_of(bench: Bench, clips: list[Clip]) -> tuple[Float32, Int64]:
    """Return what the encoders make of the clips' windows, and which clip each is of."""
    n_hop = round(WINDOWS.hop_s * SAMPLE_RATE_HZ)
    features, owners = [], []
    for k, clip in enumerate(clips):
        for start in range(0, max(1, len(clip.samples) - N_WINDOW + 1), n_hop):
            part = clip.samples[start : start + N_WINDOW]
            features.append(encoded(np.pad(part, (0, N_WINDOW - len(part))), bench.encoders))
            owners.append(k)
    return np.stack(features), np.array(owners)


def mean_of(scores: Float32, owners: Int64) -> Float32:
    """Return the mean score of each clip's windows, `[n_clips, n_classes]`."""
    sums = np.zeros((owners.max() + 1, scores.shape[1]), np.float32)
    np.add.at(sums, owners, scores)
    return np.asarray(sums / np.bincount(owners)[:, None], np.float32)


def show(
    name: str, scores: Callable[[int], Scores], truths: dict[str, Bools], n_seeds: int
) -> None:
    """Print a row: macro F1 and mAP of each test, over the seeds."""
    found = [
        {test: right(truths[test], values) for test, values in scores(seed).items()}
        for seed in range(n_seeds)
    ]
    cells = [spread([one[test][k] for one in found]) for test in truths for k in (0, 1)]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def right(truth: Bools, scores: Float32) -> tuple[float, float]:
    """Return macro F1, of clips that have a class, and mAP, over the classes that are there."""
    there, has_class = np.flatnonzero(truth.any(axis=0)), truth.any(axis=1)
    named = np.eye(len(CODES), dtype=bool)[scores.argmax(axis=1)]
    if (truth.sum(axis=1) > 1).any():
        named = scores >= MIXED_THRESHOLD
    known = truth[has_class][:, there], named[has_class][:, there]
    f1 = f1_score(*known, average="macro", zero_division=0)
    precisions = [average_precision_score(truth[:, k], scores[:, k]) for k in there]
    return float(f1), float(np.mean(precisions))


def spread(values: list[float]) -> str:
    """Return a mean and a range."""
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
