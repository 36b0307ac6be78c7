"""A cluster: ray_cluster.yaml by Ray's own validation, and a job submitted on loopback."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.jobs.conftest import PLANTED
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COOKIES = """# Netscape HTTP Cookie File
127.0.0.1\tFALSE\t/\tFALSE\t2145916800\tSID\tplanted-cookie-91c2
"""


@pytest.fixture(scope="module")
def cluster_config():
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def test_the_cluster_file_is_valid(cluster_config):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster_config))
    types = cluster_config["available_node_types"]
    assert {"cpu-download", "gpu"} <= types.keys()
    assert types["gpu"]["resources"]["GPU"] == 1


def test_the_cluster_listens_on_loopback_and_asks_for_the_token(cluster_config):
    (head,) = [c for c in cluster_config["head_start_ray_commands"] if "--head" in c]
    assert "--dashboard-host=127.0.0.1" in head
    starts = [head, *[c for c in cluster_config["worker_start_ray_commands"] if "--address" in c]]
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "0.0.0.0" not in (ROOT / "ray_cluster.yaml").read_text()


def build_command(corpus, origin, out, *flags: object) -> list[str]:
    command = ["python", "-m", "jobs.build_subset", "--segments", *corpus.sheets]
    return [*command, "--source", origin.url_template, "--out", str(out), *map(str, flags)]


def test_a_job_runs_by_ray_job_submit_and_tells_no_secret(head, corpus, tmp_path):
    out, cookies = tmp_path / "ds", tmp_path / "cookies.txt"
    cookies.write_text(COOKIES)
    cookies.chmod(0o600)
    with corpus.origin() as origin:
        command = build_command(
            corpus, origin, out, "--limit", 6, "--cookies", cookies, "--max-failed", 0
        )
        done = head.job("submit", "--working-dir", ".", "--", *command)
    text = done.stdout + done.stderr
    assert "segments got" in text, text
    failed = "of 6 segments got" in text and "6 of 6" not in text
    assert done.returncode == (1 if failed else 0), text
    assert (out / "dataset.json").exists()
    secrets = [*PLANTED.values(), "planted-cookie-91c2"]
    secrets += [Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text().strip()]
    assert not [secret for secret in secrets if secret in text]
    written = [
        path for folder in (out, head.folder) for path in folder.rglob("*") if path.is_file()
    ]
    assert len(written) > 50  # tables, pages, Ray's logs
    assert not [
        (path, secret)
        for path in written
        for data in [path.read_bytes()]
        for secret in secrets
        if secret.encode() in data
    ]


def test_a_job_that_is_stopped_keeps_what_it_has_committed(head, corpus, tmp_path):
    out = tmp_path / "ds"

    def ledger() -> list[dict[str, str]]:
        names = sorted((out / "ledger").glob("*.parquet")) if out.exists() else []
        return [row for name in names for row in pq.read_table(name).to_pylist()]

    with corpus.origin(latency_s=0.5) as origin, ThreadPoolExecutor(1) as pool:
        command = build_command(corpus, origin, out, "--shard-size", 2, "--max-downloads", 1)
        words = ["submit", "--working-dir", ".", "--submission-id", "one", "--", *command]
        submitted = pool.submit(head.job, *words)  # it ends with the job
        wait_for(lambda: len(ledger()) >= 4, submitted)
        stopped = head.job("stop", "one")
        assert stopped.returncode == 0, stopped.stderr
        assert "STOPPED" in head.job("status", "one").stdout.upper()
        kept = {path: path.read_bytes() for path in (out / "clips").glob("*.parquet")}
        n_kept = len(ledger())
        assert 4 <= n_kept < len(corpus.selected)
        origin.latency_s = 0.0
        again = head.job("submit", "--working-dir", ".", "--", *command)
    assert f"of {len(corpus.selected)} segments got" in again.stdout, again.stdout + again.stderr
    assert len(ledger()) == len({row["segment_id"] for row in ledger()}) == len(corpus.selected)
    assert all(path.read_bytes() == data for path, data in kept.items())


def submitted(head, *words: object) -> subprocess.Popen[str]:
    """Start `timbre submit` as a user does it."""
    return subprocess.Popen(
        [sys.executable, "-m", "jobs", "submit", *map(str, words)],
        env=head.environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_submit_waits_and_ends_with_the_jobs_own_code(head, tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "broken.mp3").write_bytes(b"no music")
    catalogue = str(tmp_path / "music")
    words = ["tag", "--catalog", catalogue, "--out", tmp_path / "tags", "--workers", 1]
    told = ["--submission-id", "past", "--metadata-json", '{"ticket": "MIR-12"}']
    process = submitted(head, "--wait", *told, "--", *words, "--max-failed", 0)
    out, err = process.communicate()
    assert process.returncode == 3, out + err
    assert out.startswith("past\n") and "1 tracks: 0 tagged, 1 failed" in out
    listed = head.job("list").stdout
    assert "MIR-12" in listed and catalogue in listed and "'revision': " in listed
    again = submitted(head, "--wait", "--", *words)  # no limit: all is well
    out, err = again.communicate()
    assert again.returncode == 0, out + err


def test_submit_ends_with_1_where_the_job_is_stopped(head, corpus, tmp_path):
    with corpus.origin(latency_s=30) as origin:
        _, _, _, *flags = build_command(corpus, origin, tmp_path / "ds", "--max-downloads", 1)
        process = submitted(head, "--wait", "--submission-id", "halt", "--", "build", *flags)
        wait_for(lambda: "RUNNING" in head.job("status", "halt").stdout, process)
        assert head.job("stop", "halt").returncode == 0
        out, err = process.communicate()
    assert process.returncode == 1, out + err
    assert "halt: STOPPED" in err


LISTENING = """
import jobs  # as `python -m jobs.tag_catalog` does first
import psutil
import ray
from pipeline.flows.cluster import ray_session

with ray_session(min_cpus=2):
    ray.get([ray.remote(lambda: 1).remote() for _ in range(2)])
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [one for each in family for one in each.net_connections() if one.status == "LISTEN"]
    print(len(family), len(sockets))
    print([one.laddr for one in sockets if not one.laddr.ip.endswith("127.0.0.1")])
"""


def test_a_local_ray_listens_on_loopback_only():
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], env=environment, cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    counts, elsewhere = done.stdout.splitlines()
    n_processes, n_ports = map(int, counts.split())
    assert n_processes > 5 and n_ports > 5
    assert elsewhere == "[]"
