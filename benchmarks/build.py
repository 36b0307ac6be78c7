"""The build at scale: planning, going on, many downloads at once, and what a segment costs.

    python benchmarks/build.py [--segments CSV ...]

Each part runs in a process of its own, so that its peak memory is its own. The rows of `--segments`
(AudioSet's own files, say) are drawn with random ids; without it, rows are made from the classes'
label ids. Figures go to docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.build_plan import BuildConfig, make_plan
from pipeline.demo.injected_faults import Fault, InjectedFault
from pipeline.demo.media_server import MediaServer
from pipeline.errors import Outcome, Reason
from pipeline.flows.building.build import build
from pipeline.flows.cluster import ray_session
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.ledger import LEDGER

N_AUDIOSET, N_PLANNED, N_LEFT = 2_041_789, 1_000_000, 1_000
LATENCY_S, N_SEGMENTS = 0.2, 1_500
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def main() -> None:
    """Run every part and print its figures."""
    sys.setswitchinterval(0.0005)  # for the server, which lives here
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", nargs="*", default=[], metavar="CSV")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--downloads", type=int, default=64)
    flags = parser.parse_args()
    if flags.part:
        print(json.dumps(PARTS[flags.part](flags)))
        return
    with tempfile.TemporaryDirectory() as folder:
        parts = [("plan", 0), ("resume", 0)]
        parts += [(part, n) for part in ("waiting", "fetch") for n in (8, 32, 64)]
        for part, downloads in parts:
            words = ["--part", part, "--folder", folder, "--downloads", str(downloads)]
            words += ["--segments", *flags.segments] if flags.segments else []
            done = subprocess.run(
                [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True
            )
            for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                print(f"{part:<8}{name:<52}{value:>14,.2f}", flush=True)


def plan_audioset(flags: argparse.Namespace) -> dict[str, float]:
    """Select and plan as many rows as AudioSet has."""
    path = flags.folder / "train_all.csv"
    write_rows(path, N_AUDIOSET, real_rows(flags.segments) or made_rows(share=0.06))
    began = time.monotonic()
    plan = make_plan(BuildConfig((str(path),), "none", str(flags.folder)))
    return {
        "rows read": N_AUDIOSET,
        "segments planned": plan.segments.num_rows,
        "seconds": time.monotonic() - began,
        "peak memory, MiB": peak_mib(),
    }


def resume(flags: argparse.Namespace) -> dict[str, float]:
    """Go on with a million planned segments of which all but a thousand are done."""
    path, out = flags.folder / "train_million.csv", flags.folder / "million"
    write_rows(path, N_PLANNED, made_rows(share=1.0))
    (flags.folder / "empty").mkdir()
    config = BuildConfig((str(path),), str(out), str(flags.folder / "empty"))
    n_left = settle_all_but_last(config, out)
    before_mib = peak_mib()
    began = time.monotonic()
    words = ["--segments", str(path), "--out", str(out), "--source", str(flags.folder / "empty")]
    command = [sys.executable, "-m", "jobs.build_subset", *words]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    n_ledgers = len(list((out / "ledger").iterdir()))
    while len(list((out / "ledger").glob("*.parquet"))) == n_ledgers and job.poll() is None:
        time.sleep(0.05)
    first_s = time.monotonic() - began
    code = job.wait()
    job_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report = json.loads((out / "report.json").read_text())
    assert (code, report["wanted"], report["untried"]) == (0, N_PLANNED, 0)
    return {
        "segments planned": N_PLANNED,
        "segments left": n_left,
        "seconds to the first shard written, start-up included": first_s,
        "seconds to the end, report included": time.monotonic() - began,
        "peak memory of the job's driver, MiB": job_mib,
        "peak memory of this benchmark before it, MiB": before_mib,
    }


def fetch(flags: argparse.Namespace) -> dict[str, float]:
    """Build from a server that answers after 200 ms."""
    videos = flags.folder / "videos"
    ids = make_videos(videos)
    path, out = flags.folder / "train_fetch.csv", flags.folder / f"fetch-{flags.downloads}"
    rows = [f'{ytid}, 30.000, 40.000, "/m/01xqw"' for ytid in ids]
    path.write_text("# x\n# x\n# x\n" + "\n".join(rows) + "\n")
    with MediaServer(videos, latency_s=LATENCY_S) as origin, ray_session():
        began = time.monotonic()
        report = build(
            BuildConfig((str(path),), str(out), origin.url_template, max_downloads=flags.downloads)
        )
        seconds = time.monotonic() - began
        in_flight = origin.traffic.mean_in_flight
        peak, n_requests = origin.traffic.peak_in_flight, origin.n_requests.total()
    n = report.got
    assert n == len(ids)
    work_s = report.stages["decode_s"] + report.stages["describe_s"]
    return {
        "downloads wanted at once": flags.downloads,
        "requests in flight at the server, mean": in_flight,
        "requests in flight at the server, peak": peak,
        "downloads at once (fetch time / wall time)": report.stages["fetch_s"] / seconds,
        "segments a second": n / seconds,
        "requests a segment": n_requests / n,
        "kB fetched a segment": report.bytes_fetched / n / 1000,
        "decode and log-mel, ms per segment": work_s / n * 1000,
        "wall s": seconds,
    }


def waiting(flags: argparse.Namespace) -> dict[str, float]:
    """Get a page instead of audio, 200 ms per answer: only the waiting, and what a segment costs.

    Not a 404: after an error the client opens another connection; after an answer it keeps this,
    as it does in a real build.
    """
    path, out = flags.folder / "train_waiting.csv", flags.folder / f"waiting-{flags.downloads}"
    n_segments = 300 * flags.downloads  # the sessions of all threads are built on the way
    write_rows(path, n_segments, made_rows(share=1.0))
    server = subprocess.Popen(
        [sys.executable, __file__, "--part", "pages", "--folder", flags.folder],
        stdout=subprocess.PIPE,
        text=True,
    )  # on its own: in a user's life it is not on these cores at all
    assert server.stdout is not None
    url_template = server.stdout.readline().strip()
    assert url_template, "the server did not start"
    with ray_session():
        config = BuildConfig((str(path),), str(out), url_template, max_downloads=flags.downloads)
        began, cpu = time.monotonic(), psutil.cpu_times()
        report = build(config)
        seconds = time.monotonic() - began
    server.kill()
    used = psutil.cpu_times()
    cpu_s = used.user + used.system - cpu.user - cpu.system
    ended = pc.cast(Dataset(Folder(str(out))).ledger(["ended_at"])["ended_at"], pa.int64())
    arrivals = sorted(ms / 1000 for ms in ended.to_pylist())
    assert len(arrivals) == n_segments
    middle = arrivals[len(arrivals) // 10 : -len(arrivals) // 10]
    rate = len(middle) / (middle[-1] - middle[0])
    fetch_s = report.stages["fetch_s"] / len(arrivals)
    return {
        "downloads wanted at once": flags.downloads,
        "requests a second, without start and end": rate,
        "downloads at once (that x the time of one)": rate * fetch_s,
        "share of those wanted": rate * fetch_s / flags.downloads,
        "share of the ideal rate (200 ms each)": rate * LATENCY_S / flags.downloads,
        "fetching, ms per segment": fetch_s * 1000,
        "waiting at the gate, ms per segment": report.stages["wait_s"] / len(arrivals) * 1000,
        "seconds, ms per segment": report.seconds / len(arrivals) * 1000,
        "CPU ms per segment, this server's included": cpu_s / len(arrivals) * 1000,
        "wall s": seconds,
    }


class Pages(MediaServer):
    """A server that answers each request by a page of text."""

    def injected(self, ytid: str, client_port: int = 0) -> InjectedFault:
        """Return what every id meets."""
        return InjectedFault(Fault.NOT_AUDIO)


def pages(flags: argparse.Namespace) -> dict[str, float]:
    """Print the address of such a server, and serve until the process is killed."""
    with Pages(flags.folder, latency_s=LATENCY_S) as server:
        print(server.url_template, flush=True)
        time.sleep(3600)
    return {}


PARTS = {
    "plan": plan_audioset,
    "resume": resume,
    "waiting": waiting,
    "fetch": fetch,
    "pages": pages,
}


def real_rows(paths: list[str]) -> list[str]:
    """Return 'start, end, labels' of the rows of AudioSet's files."""
    lines = [line for path in paths for line in Path(path).read_text().splitlines()]
    return [line.split(", ", 1)[1] for line in lines if not line.startswith("#")]


def made_rows(*, share: float) -> list[str]:
    """Return a thousand 'start, end, labels', that share of them with an instrument's label."""
    rng = random.Random(0)
    mids = [i.any_of[0] for i in default_vocabulary().instruments]
    rows = []
    for k in range(1000):
        label = rng.choice(mids) if k < 1000 * share else "/m/04rlf"
        rows.append(f'{rng.randrange(30)}.000, {rng.randrange(30, 60)}.000, "{label}"')
    return rows


def write_rows(path: Path, n_rows: int, rows: list[str]) -> None:
    """Write a segments CSV of that many rows, drawn from `rows`, with random ids."""
    rng = random.Random(1)
    with path.open("w") as file:
        file.write("# made\n# for a\n# benchmark\n")
        for start in range(0, n_rows, 10_000):
            n = min(10_000, n_rows - start)
            ids = ("".join(rng.choices(LETTERS, k=11)) for _ in range(n))
            drawn = rng.choices(rows, k=n)
            file.writelines(f"{i}, {row}\n" for i, row in zip(ids, drawn, strict=True))


def settle_all_but_last(config: BuildConfig, out: Path) -> int:
    """Leave a dataset as a build does that was killed near its end; return what is left to do."""
    plan = make_plan(config)
    dataset = Dataset(Folder(str(out)))
    dataset.begin(plan.identity())
    segments = dataset.write_plan(plan.segments)
    *done, last = batched(shards_of(segments), N_LEFT // config.shard_size)
    for shard, ids, ytids in chain.from_iterable(done):
        n = len(ids)
        columns = {
            "segment_id": ids,
            "ytid": ytids,
            "run": [1] * n,
            "outcome": [str(Outcome.UNAVAILABLE)] * n,
            "reason": [str(Reason.NOT_FOUND)] * n,
            "detail": ["no such file"] * n,
            "attempts": [1] * n,
            "bytes_fetched": [0] * n,
            "seconds": [0.1] * n,
            "ended_at": [datetime.now(UTC)] * n,
        }
        table = pa.table(
            {f.name: pa.array(columns.get(f.name, [None] * n), f.type) for f in LEDGER}, LEDGER
        )
        dataset.folder.write_table(f"ledger/{shard}.parquet", table)
    return sum(len(ids) for _, ids, _ in last)


def batched(items: Iterator[Any], n: int) -> list[list[Any]]:
    """Return the items in lists of n, the last one maybe shorter."""
    every = list(items)
    return [every[k : k + n] for k in range(0, len(every), n)]


def shards_of(segments: pa.Table) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the name, segment ids and video ids of every shard."""
    ends = pa.compute.run_end_encode(segments["shard"].combine_chunks()).run_ends.to_pylist()
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        part = segments.slice(start, end - start)
        yield part["shard"][0].as_py(), part["segment_id"].to_pylist(), part["ytid"].to_pylist()


def make_videos(folder: Path) -> list[str]:
    """Return the ids of one video of four minutes under many names."""
    from pipeline.demo.render import RATE_HZ, encode

    ids = [f"v{k:010d}" for k in range(N_SEGMENTS)]
    if not folder.exists():
        import numpy as np

        folder.mkdir()
        noise = np.random.default_rng(0).normal(0, 0.1, (240 * RATE_HZ, 2)).astype(np.float32)
        encode(noise, RATE_HZ, folder / "one.webm")
        for ytid in ids:
            (folder / f"{ytid}.webm").hardlink_to(folder / "one.webm")
    return ids


def peak_mib() -> float:
    """Return this process's peak memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
