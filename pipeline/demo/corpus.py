"""A seed in, a small AudioSet out: the plan of its videos, the segments CSV, the videos.

The plan is PURE. It has what makes the real one hard: rows with several classes, with none, with
ids that take a class away, short and fractional segments, odd video ids, and videos that are gone,
cut short or no audio. Other instruments play before and after a segment, so that cutting at the
wrong place shows in the scores.
"""

from __future__ import annotations

import string
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pipeline.demo.compose import Section
from pipeline.demo.idioms import CLASSES
from pipeline.demo.media_server import Fault
from pipeline.demo.recording import Recording, record_all, with_soundfont
from pipeline.demo.soundfonts import Soundfont

SUBSETS = ("balanced_train", "eval")
FAULTS = (Fault.MISSING,) * 4 + (Fault.TRUNCATED,) * 2 + (Fault.NOT_AUDIO,) * 2
_MOST_AFTER_S = 4.0  # of a video after its segment: nothing uses it, and it takes time to render
ID_LETTERS = string.ascii_letters + string.digits + "-_"
MUSIC, INSTRUMENT = "/m/04rlf", "/m/04szw"
LABELS: dict[str, tuple[str, ...]] = {  # one is drawn: an id, or several joined by commas
    "cel": ("/m/01xqw", "/m/01xqw,/m/0l14_3"),
    "cla": ("/m/01wy6", "/m/01wy6,/m/085jw"),
    "flu": ("/m/0l14j_", "/m/0l14j_,/m/085jw"),
    "gac": ("/m/042v_gx", "/m/042v_gx,/m/0342h,/m/0fx80y"),
    "gel": ("/m/02sgy", "/m/02sgy,/m/0342h,/m/0fx80y"),
    "org": ("/m/013y1f", "/m/013y1f,/m/05148p4"),
    "pia": ("/m/05r5c", "/m/05r5c,/m/05148p4"),
    "sax": ("/m/06ncr", "/m/06ncr,/m/085jw"),
    "tru": ("/m/07gql", "/m/07gql,/m/01kcd"),
    "vio": ("/m/07y_7", "/m/07y_7,/m/0l14_3"),
    "voi": ("/m/0l14jd", "/t/dd00003", "/t/dd00004", "/m/0l14jd,/t/dd00003,/t/dd00004"),
    "epi": ("/m/01s0ps,/m/05r5c",),  # electric piano takes piano away
    "piz": ("/m/07y_7,/m/0d8_n",),  # pizzicato takes violin away
    "bas": ("/m/018vs",),
    "pad": ("/m/0l14qv",),
    "dru": ("/m/02hnl", "/m/026t6"),
}
ODD_SOUNDS = (  # of every 25 videos one: rows with no class, or fewer than their ids say
    ("epi",),
    ("piz",),
    ("dru",),
    ("epi", "flu"),
    ("bas", "dru"),
    ("cel", "piz"),
    ("dru", "pad"),
    ("pad",),
    ("bas", "dru", "pad"),
    ("dru",),
)


@dataclass(frozen=True)
class Video:
    """One video, and the one segment of it that is labelled."""

    ytid: str
    subset: str
    """Which of `SUBSETS` the segment stands in."""
    duration_s: float
    start_s: float
    end_s: float
    mids: tuple[str, ...]
    """AudioSet ids of the segment's labels, sorted."""
    codes: tuple[str, ...]
    """The classes that follow from them, sorted."""
    sounds: tuple[str, ...]
    """What plays in the segment: the classes, and others that are none."""
    before: tuple[str, ...]
    """What plays before it: nothing that plays in it; nor does anything of `after`."""
    after: tuple[str, ...]
    fault: Fault
    seed: str


def plan_corpus(seed: int, *, n_videos: int = 280, faults: Sequence[Fault] = FAULTS) -> list[Video]:
    """Return `n_videos` good videos and one more for every fault, ordered by id.

    All classes come equally often (at least 24 times each in 280 videos): a tenth of the rows have
    two, a few three. In AudioSet's own files one row in seventeen has more than one.
    """
    rng = Random(f"corpus/{seed}")
    odd = ODD_SOUNDS[: n_videos // 25]
    classes = [*_class_rows(rng, n_videos - len(odd)), *odd]
    rows = [(sounds, Fault.NONE) for sounds in classes]
    rows += list(zip(_class_rows(rng, len(faults)), faults, strict=True))
    rng.shuffle(rows)
    ids = sorted(_video_ids(rng, len(rows)))
    return [
        _video(rng, ytid, sounds, fault, seed=f"{seed}/{ytid}")
        for ytid, (sounds, fault) in zip(ids, rows, strict=True)
    ]


def faults_of(plan: Iterable[Video]) -> dict[str, Fault]:
    """Return the faults by id, as `MediaServer` takes them."""
    return {video.ytid: video.fault for video in plan if video.fault is not Fault.NONE}


def write_segments_csv(
    plan: Sequence[Video], folder: Path, *, created_s: float = 1_488_711_271.0
) -> tuple[Path, Path]:
    """Write `balanced_train_segments.csv` and `eval_segments.csv` in AudioSet's own form.

    `created_s`, in seconds since 1970, stands in their first line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for subset in SUBSETS:
        text = _segments_csv([v for v in plan if v.subset == subset], created_s)
        paths.append(folder / f"{subset}_segments.csv")
        paths[-1].write_text(text, encoding="ascii", newline="\n")
    return paths[0], paths[1]


def render_corpus(
    plan: Iterable[Video], folder: Path, *, workers: int, fonts: Sequence[Soundfont] = ()
) -> list[Path]:
    """Make `{ytid}.webm` of every video that has bytes to serve; return the ones made now.

    What a run before this one made of the same plan stays; no file is ever there in part.
    """
    return record_all(corpus_recordings(plan, folder, fonts), workers=workers, title="videos")


def corpus_recordings(
    plan: Iterable[Video], folder: Path, fonts: Sequence[Soundfont] = ()
) -> list[Recording]:
    """Return what is to be made: every video that has bytes to serve, each by one of the fonts."""
    silent = (Fault.MISSING, Fault.NOT_AUDIO)
    recordings = [_recording(video, folder) for video in plan if video.fault not in silent]
    return [with_soundfont(one, fonts) for one in recordings]


def deal(rng: Random, sizes: Iterable[int]) -> Iterator[tuple[str, ...]]:
    """Yield that many distinct classes at a time, all of them equally often in the end."""
    dealt = Counter[str]()
    for size in sizes:
        rarest = sorted(rng.sample(list(CLASSES), len(CLASSES)), key=lambda code: dealt[code])
        dealt.update(rarest[:size])
        yield tuple(rarest[:size])


def backing(rng: Random) -> tuple[str, ...]:
    """Return what plays quietly underneath, which is no class: nothing three times of four."""
    if rng.random() < 0.75:
        return ()
    return rng.choice((("dru",), ("bas",), ("pad",), ("bas", "dru"), ("bas", "pad")))


def _class_rows(rng: Random, n_rows: int) -> list[tuple[str, ...]]:
    sizes = [1] * n_rows
    n_double, n_triple = n_rows // 10, n_rows // 48
    sizes[:n_double] = [2] * n_double
    sizes[n_double : n_double + n_triple] = [3] * n_triple
    rng.shuffle(sizes)
    return list(deal(rng, sizes))


def _video_ids(rng: Random, n_ids: int) -> set[str]:
    """Return eleven-letter ids; some begin with one or two dashes, which tools take for options."""
    ids: set[str] = set()
    while len(ids) < n_ids:
        dashes = {0: "--", 1: "-", 2: "-"}.get(len(ids) % 24, "")
        ids.add((dashes + "".join(rng.choices(ID_LETTERS, k=11)))[:11])
    return ids


def _video(rng: Random, ytid: str, sounds: tuple[str, ...], fault: Fault, *, seed: str) -> Video:
    start_s, end_s, duration_s = _times(rng, fault)
    playing = sounds + tuple(s for s in backing(rng) if s not in sounds)
    mids = {mid for sound in playing for mid in rng.choice(LABELS[sound]).split(",")}
    mids |= {mid for mid in (MUSIC, INSTRUMENT) if rng.random() < 0.5}
    rest = [code for code in CLASSES if code not in playing]
    return Video(
        ytid=ytid,
        subset=rng.choice(SUBSETS),
        duration_s=duration_s,
        start_s=start_s,
        end_s=end_s,
        mids=tuple(sorted(mids)),
        codes=tuple(sorted(sound for sound in sounds if sound in CLASSES)),
        sounds=playing,
        before=tuple(rng.sample(rest, rng.choice((1, 1, 2)))),
        after=tuple(rng.sample(rest, rng.choice((1, 1, 2)))),
        fault=fault,
        seed=seed,
    )


def _times(rng: Random, fault: Fault) -> tuple[float, float, float]:
    """Return start and end of the segment and the video's duration: most are short."""
    duration_s = float(min(90, 31 + round(rng.expovariate(1 / 6))))
    if fault is Fault.TRUNCATED:
        return 20.0, 30.0, 32.0  # beyond the half that comes
    start_s = 10.0 * rng.randint(0, int(duration_s - 11) // 10)
    length_s = 10.0
    if rng.random() < 0.06:
        start_s = round(max(0.0, start_s - 10) + rng.randint(1, 99) / 10, 1)
    elif rng.random() < 0.06:
        length_s = rng.choice((7.0, 7.5, 8.0, 9.0))
    end_s = round(start_s + length_s, 1)
    return start_s, end_s, min(duration_s, end_s + _MOST_AFTER_S)


def _recording(video: Video, folder: Path) -> Recording:
    sections = (
        Section(0.0, video.start_s, video.before),
        Section(video.start_s, video.end_s, video.sounds),
        Section(video.end_s, video.duration_s, video.after),
    )
    return Recording(
        path=folder / f"{video.ytid}.webm",
        seed=video.seed,
        sections=tuple(s for s in sections if s.end_s > s.start_s),
        loud_s=(video.start_s, video.end_s),
    )


def _segments_csv(videos: Sequence[Video], created_s: float) -> str:
    labels = [mid for video in videos for mid in video.mids]
    head = (
        f"# Segments csv created {time.asctime(time.gmtime(created_s))}\n"
        f"# num_ytids={len(videos)}, num_segs={len(videos)}, "
        f"num_unique_labels={len(set(labels))}, num_positive_labels={len(labels)}\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
    )
    return head + "".join(
        f'{v.ytid}, {v.start_s:.3f}, {v.end_s:.3f}, "{",".join(v.mids)}"\n' for v in videos
    )
