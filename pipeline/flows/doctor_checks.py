"""Findings on this machine: packages, free space, memory, CPUs, Ray and torch.

A check looks at one thing and says what it found, and the cure. Whatever it needs it imports
itself: a package that is broken is a finding, and the other checks go on.
"""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module, metadata
from pathlib import Path
from urllib.parse import urlsplit

GIB = 1 << 30
CONNECT_TIMEOUT_S = 5.0
DASHBOARD_PORT = 8265
DISTRIBUTION = "timbre-tagger"
"""The name under which pip knows this project."""
REINSTALL = "pip install --upgrade --editable ."


class Level(StrEnum):
    """How bad a finding is: OK, a warning, or a failure."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """What a check of the machine found, and the cure."""

    name: str
    level: Level
    found: str
    cure: str = ""
    """What to do about it; empty where nothing is wrong."""

    def __str__(self) -> str:
        """Return the finding's one line."""
        cure = f" -> {self.cure}" if self.cure else ""
        return " ".join(f"{self.level:<4}  {self.name:<13}  {self.found}{cure}".splitlines())


def check_python() -> Finding:
    """Check that the interpreter is new enough."""
    good = sys.version_info >= (3, 11)
    found = f"{platform.python_version()}, {sys.executable}"
    return Finding("python", *judged(good, found, "make a venv with Python 3.11 or newer"))


def check_packages() -> Finding:
    """Compare what is installed with what pyproject.toml asks for."""
    from packaging.requirements import Requirement

    try:
        texts = metadata.requires(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # the code is on the path without an installation
        return Finding("packages", Level.WARN, f"{DISTRIBUTION} is not installed", REINSTALL)
    wanted = [Requirement(text) for text in texts]
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    wrong = []
    for each in wanted:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            version = "missing"
        if version == "missing" or not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} {version} (wants {each.specifier})")
    found = ", ".join(wrong) or f"all {len(wanted)} as asked for"
    return Finding("packages", *judged(not wrong, found, REINSTALL))


def check_temp() -> Finding:
    """Try to write temporary files, and look at the room."""
    return room_at("temp", Path(tempfile.gettempdir()))


def room_at(name: str, folder: Path, *, warn_gib: float = 20.0, fail_gib: float = 1.0) -> Finding:
    """Look at the room where a folder is or would be made, and write a file there."""
    found = str(folder)
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            return Finding(name, Level.FAIL, f"{there} is not a folder", "choose another")
        free_gib = shutil.disk_usage(there).free / GIB
        found = f"{folder}: {free_gib:.1f} GiB free"
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        cure = "choose a folder that this user may write to, on a disk with room"
        return Finding(name, Level.FAIL, f"{found}, cannot write: {error.strerror}", cure)
    level = Level.FAIL if free_gib < fail_gib else Level.WARN
    cure = "10 s of a clip take 1.3 MB: free some space, or choose another disk"
    return Finding(name, *judged(free_gib >= warn_gib, found, cure, level))


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Look at the memory that Ray keeps its objects in."""
    name = "shared-memory"
    if not folder.is_dir():
        return Finding(name, Level.OK, f"no {folder} on this system; Ray uses files")
    free_gib = shutil.disk_usage(folder).free / GIB
    cure = "Ray falls back to slow files: docker run --shm-size=2g, or a larger tmpfs"
    found = f"{folder}: {free_gib:.1f} GiB free"
    return Finding(name, *judged(free_gib >= 1, found, cure, Level.WARN))


def check_cpus() -> Finding:
    """Count the CPUs that a local Ray and the training's threads take."""
    import joblib

    found = f"{joblib.cpu_count()} to use, of the machine's {os.cpu_count()}"
    return Finding("cpus", Level.OK, found)


def check_dashboard(port: int = DASHBOARD_PORT) -> Finding:
    """Look whom Ray's dashboard, which runs anybody's jobs, would and does listen to."""
    import inspect

    import ray

    default = str(inspect.signature(ray.init).parameters["dashboard_host"].default)
    is_token = os.environ.get("RAY_AUTH_MODE") == "token"
    others = sorted(host for host in listeners(port) if not ipaddress.ip_address(host).is_loopback)
    cure = "restart it with ray start --dashboard-host=127.0.0.1, and RAY_AUTH_MODE=token"
    if others:
        level = Level.WARN if is_token else Level.FAIL
        found = f"port {port} listens on {', '.join(others)}: whoever reaches it runs code here"
        return Finding("dashboard", level, found, cure)
    good = default == "localhost" or ipaddress.ip_address(default).is_loopback
    found = f"Ray's default is {default}; nothing listens on port {port} for others"
    return Finding("dashboard", *judged(good, found, cure))


def listeners(port: int, tables: tuple[str, ...] = ("tcp", "tcp6")) -> list[str]:
    """Return the addresses on which this machine listens at a port; none where /proc is not."""
    hosts = []
    for table in tables:
        path = Path("/proc/net") / table
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        for _, local, _, state, *_ in (row.split() for row in rows):
            address, _, at = local.partition(":")
            if state == "0A" and int(at, 16) == port:
                words = [bytes.fromhex(address[k : k + 8])[::-1] for k in range(0, len(address), 8)]
                hosts.append(str(ipaddress.ip_address(b"".join(words))))
    return hosts


def check_cluster() -> Finding:
    """Ask the cluster that RAY_ADDRESS names for its nodes."""
    address = os.environ["RAY_ADDRESS"]
    cure = "start the cluster, or unset RAY_ADDRESS for a local Ray"
    if address.startswith(("http://", "https://")):
        cure = "ray job submit sets the right one itself: use RAY_API_SERVER_ADDRESS for that one"
        return Finding("cluster", Level.FAIL, f"{address} is the address of Ray's jobs API", cure)
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port:  # Ray itself tries for two minutes
        try:
            socket.create_connection((parts.hostname, parts.port), CONNECT_TIMEOUT_S).close()
        except OSError as error:
            return Finding("cluster", Level.FAIL, f"{address} does not answer: {error}", cure)
    import ray

    from pipeline.flows.cluster import ray_session

    with ray_session():
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    n_cpus, n_gpus = (sum(each.get(kind, 0) for each in alive) for kind in ("CPU", "GPU"))
    dead = f", {len(nodes) - len(alive)} dead" if len(alive) < len(nodes) else ""
    found = f"{address}: {len(alive)} nodes{dead}, {n_cpus:g} CPUs, {n_gpus:g} GPUs"
    return Finding("cluster", *judged(n_cpus >= 1, found, "add a node with CPUs"))


def has_card() -> bool:
    """Say whether this machine has an NVIDIA card."""
    return bool(list(Path("/dev").glob("nvidia[0-9]*")))


def check_torch() -> Finding:
    """Look for GPUs, and for bfloat16 that is fast and right."""
    import torch

    others = [f"{each} {import_module(each).__version__}" for each in ("torchaudio", "torchvision")]
    has_cuda = torch.cuda.is_available()
    gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    bf16 = bf16_here("cuda" if has_cuda else "cpu")
    cuda = ", ".join(gpus) if has_cuda else "no"
    found = f"{torch.__version__}, {', '.join(others)}; CUDA {cuda}; fast bf16 {bf16}"
    cure = "there is an NVIDIA card: mend its driver, or install a torch built for it"
    return Finding("torch", *judged(has_cuda or not has_card(), found, cure, Level.WARN))


def check_compiler() -> Finding:
    """Look for what torch needs to compile networks, as it does on GPUs."""
    from pipeline.models.engines.compiler import compiler_fault

    fault = compiler_fault()
    cure = (
        "networks run slower on the GPU without: install it, or use the image of deploy/Dockerfile"
    )
    return Finding(
        "compiler", *judged(not fault, fault or "a C compiler and Python.h", cure, Level.WARN)
    )


def bf16_here(kind: str) -> str:
    """Return whether bfloat16 is fast on cpu or cuda and, on the demo's network, right."""
    import torch

    from pipeline.models.engines.bf16_trial import step_fault
    from pipeline.models.engines.precision import has_fast_bf16
    from pipeline.models.model import Architecture, Tagger

    device = torch.device(kind)
    if not has_fast_bf16(device):
        return "no"
    torch.manual_seed(0)
    model = Tagger(Architecture("resnet10t", 11, (128, 32))).to(device)
    windows = 10 * torch.randn((32, 256, 87), device=device)
    fault = step_fault(model, windows, torch.zeros((32, 11), device=device))
    cure = "trainings that meet this go without AMX, or in float32"
    return f"yes, but wrong ({fault}): {cure}" if fault else "yes"


def judged(
    good: bool, found: str, cure: str, bad: Level = Level.FAIL
) -> tuple[Level, str] | tuple[Level, str, str]:
    """Return level, finding and, where it is needed, the cure."""
    return (Level.OK, found) if good else (bad, found, cure)
