"""The doctor in broken surroundings, which are really made."""

import os
import socket
import threading
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from jobs import doctor as job
from pipeline.audio.decoding.ffmpeg import ffmpeg_exe
from pipeline.audio.fetching import remote_file
from pipeline.flows import cluster, doctor, doctor_checks
from pipeline.flows.cluster import own_cpus
from pipeline.flows.doctor import DoctorConfig, checkup
from pipeline.flows.doctor_checks import Finding, Level
from tests.flows.conftest import mounted

FAR = 4_000_000_000
SECRET = "s3cr3t-value"


def named(name: str, config: DoctorConfig) -> Finding:
    """Return one check's finding, as a checkup gives it."""
    return next(finding for finding in checkup(config) if finding.name == name)


@pytest.fixture
def folder(tmp_path: Path) -> DoctorConfig:
    """Give a configuration that needs no network."""
    return DoctorConfig(source=str(tmp_path), out=str(tmp_path / "out"))


# --- the job


def test_a_sound_machine_exits_with_0_and_a_line_a_check(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert job.main(["--source", str(tmp_path), "--out", str(tmp_path / "new" / "ds")]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith(f"{len(lines)} checks: 0 failed")
    assert all(line.split()[0] in ("ok", "warn") for line in lines)
    for name in ("python", "packages", "ffmpeg", "decoding", "cpus", "dashboard", "torch"):
        assert any(line.split()[1] == name for line in lines), name
    assert not (tmp_path / "new").exists()
    assert [path for path in tmp_path.iterdir()] == []


def test_a_failed_check_exits_with_1_and_names_the_cure(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert job.main(["--source", str(tmp_path), "--out", str(tmp_path / "file")]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert line.split()[1] == "out"
    assert " -> " in line


def test_a_check_that_crashes_is_a_fail_and_the_others_go_on(folder, tmp_path, monkeypatch):
    info = tmp_path / "site" / "yt_dlp-nightly.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: yt-dlp\nVersion: nightly\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = {f.name: f for f in checkup(DoctorConfig(out=folder.out))}
    assert found["yt-dlp"].level == Level.FAIL
    assert "nightly" in found["yt-dlp"].found
    assert found["decoding"].level == Level.OK
    assert found["torch"].level != Level.FAIL


def test_a_check_and_its_crash_have_the_same_name(folder):
    checks = doctor.checks(DoctorConfig())
    names = [c.func.__name__.removeprefix("check_").replace("_", "-") for c in checks]
    assert [finding.name for finding in checkup(DoctorConfig())] == names


def test_a_finding_is_one_line():
    assert str(Finding("x", Level.FAIL, "two\nlines", "a\ncure")).count("\n") == 0


def test_no_password_is_shown(capsys):
    proxy = f"http://me:{SECRET}@127.0.0.1:{closed_port()}"
    flags = ["--source", "http://127.0.0.1:9/{ytid}", "--proxy", proxy, "--network"]
    assert job.main(flags) == 1
    out = "".join(capsys.readouterr())
    assert "--proxy" in out
    assert SECRET not in out
    assert SECRET not in repr(DoctorConfig(proxy=proxy))


# --- packages and programs


def test_another_version_than_asked_for_is_told(folder, tmp_path, monkeypatch):
    info = tmp_path / "site" / "av-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: av\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    finding = named("packages", folder)
    assert finding.level == Level.FAIL
    assert finding.found == "av 1.0 (wants ~=18.1)"


def test_code_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(doctor_checks, "DISTRIBUTION", "timbre-that-nobody-installs")
    finding = doctor_checks.check_packages()
    assert finding.level == Level.WARN
    assert "timbre-that-nobody-installs is not installed" in str(finding)


@pytest.fixture
def fresh_ffmpeg():
    ffmpeg_exe.cache_clear()
    yield
    ffmpeg_exe.cache_clear()


def test_without_ffmpeg_on_the_path_the_wheels_is_found(fresh_ffmpeg, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor.check_ffmpeg()
    assert finding.level == Level.OK
    assert "imageio_ffmpeg" in finding.found


@pytest.mark.parametrize("script", [None, "#!/bin/sh\necho broken >&2; exit 1\n"])
def test_an_ffmpeg_that_does_not_run_is_told(script, fresh_ffmpeg, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    if script:
        program(tmp_path / "bin" / "ffmpeg", script)
    finding = doctor.check_ffmpeg()
    assert (finding.level, bool(finding.cure)) == (Level.FAIL, True)


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "level", "found"),
    [
        (None, Level.FAIL, "no deno"),
        ("#!/bin/sh\necho 2.9.9\n", Level.OK, "deno 2.9.9"),
        ("#!/bin/sh\necho 1.46.3\n", Level.FAIL, "deno 1.46.3"),
        ("#!/bin/sh\necho no memory >&2; exit 1\n", Level.FAIL, "no memory"),
    ],
)
def test_the_javascript_runtime_is_run(script, level, found, tmp_path, monkeypatch):
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(remote_file, "import_module", gone)  # no wheel
    if script:
        program(tmp_path / "deno", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = named("javascript", DoctorConfig())
    assert finding.level == level
    assert found in finding.found


def test_the_real_runtime_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert doctor.check_javascript().level == Level.OK


@pytest.mark.parametrize(("days", "level"), [(0, Level.OK), (60, Level.OK), (61, Level.WARN)])
def test_yt_dlps_age(days, level):
    from importlib.metadata import version

    made = date(*map(int, version("yt-dlp").split(".")[:3]))
    finding = doctor.check_yt_dlp(made + timedelta(days=days))
    assert finding.level == level
    assert f"{days} days" in finding.found


def test_decoding_notices_silence(monkeypatch):
    import numpy as np

    from pipeline.audio.decoding import decode

    assert doctor.check_decoding().level == Level.OK
    monkeypatch.setattr(decode, "decode", lambda *_, **__: np.zeros(48_000, np.float32))
    assert doctor.check_decoding().level == Level.FAIL


# --- cookies


def cookie_file(path: Path, *rows: tuple[str, str, int], mode: int = 0o600) -> str:
    lines = [f"{d}\tTRUE\t/\tTRUE\t{expires}\t{name}\t{SECRET}" for d, name, expires in rows]
    path.write_text("\n".join(["# Netscape HTTP Cookie File", *lines, ""]))
    path.chmod(mode)
    return str(path)


LOGIN = (".youtube.com", "SAPISID", FAR)


@pytest.mark.parametrize(
    ("rows", "mode", "level", "words"),
    [
        ([LOGIN], 0o600, Level.OK, "1 cookies, 1 not expired, mode 0600"),
        ([LOGIN], 0o400, Level.OK, "mode 0400"),
        ([LOGIN], 0o644, Level.WARN, "others may read it"),
        ([LOGIN], 0o640, Level.WARN, "others may read it"),
        ([(".youtube.com", "SAPISID", 1)], 0o600, Level.FAIL, "0 not expired"),
        ([(".youtube.com", "PREF", 0)], 0o600, Level.WARN, "guest"),
        ([(*LOGIN[:2], 1), (".youtube.com", "PREF", FAR)], 0o600, Level.WARN, "guest"),
        ([], 0o600, Level.FAIL, "0 cookies"),
    ],
)
def test_cookies(rows, mode, level, words, tmp_path):
    path = cookie_file(tmp_path / "c.txt", *rows, mode=mode)
    finding = doctor.check_cookies(path, "youtube")
    assert finding.level == level
    assert words in finding.found
    assert bool(finding.cure) == (level != Level.OK)
    assert SECRET not in str(finding)


@pytest.mark.parametrize("text", [None, f'[{{"value": "{SECRET}"}}]', f"# Netscape\n{SECRET}"])
def test_a_wrong_cookie_file_is_a_fail(text, tmp_path, capfd):
    path = tmp_path / "c.txt"
    if text:
        path.write_text(text)
    finding = named("cookies", DoctorConfig(cookies=str(path)))
    assert finding.level == Level.FAIL
    assert "--cookies" in finding.found
    assert SECRET not in str(finding) + "".join(capfd.readouterr())


def test_a_wrong_proxy_or_source_is_a_fail(tmp_path):
    assert named("source", DoctorConfig(proxy="nonsense")).level == Level.FAIL
    assert named("source", DoctorConfig(source=str(tmp_path / "no"))).level == Level.FAIL
    assert named("source", DoctorConfig(source_address="192.0.2.1")).level == Level.FAIL


# --- room


def test_an_absent_folder_is_not_made(tmp_path):
    finding = doctor.check_out(str(tmp_path / "a" / "b"))
    assert finding.level != Level.FAIL
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_fail(tmp_path):
    with mounted(tmp_path / "disk", "1m") as disk:
        with (disk / "big").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(65536))
        finding = doctor.check_out(str(disk / "ds"))
    assert finding.level == Level.FAIL
    assert "0.0 GiB free" in finding.found


def test_a_disk_that_cannot_be_written_is_a_fail(tmp_path):
    with mounted(tmp_path / "disk", "1m", "ro") as disk:
        finding = doctor.check_out(str(disk))
    assert finding.level == Level.FAIL
    assert "cannot write: Read-only" in finding.found


def test_little_room_is_a_warning(tmp_path):
    assert doctor_checks.room_at("x", tmp_path, warn_gib=1e6).level == Level.WARN
    assert doctor_checks.room_at("x", tmp_path, warn_gib=1e6, fail_gib=1e6).level == Level.FAIL
    assert doctor_checks.room_at("x", tmp_path, warn_gib=0).level == Level.OK


def test_an_out_that_cannot_be_opened_is_a_fail(folder):
    assert named("out", DoctorConfig(folder.source, out="nonsense://x")).level == Level.FAIL


def test_little_shared_memory_is_a_warning(tmp_path):
    with mounted(tmp_path / "shm", "64m") as shm:
        assert doctor_checks.check_shared_memory(shm).level == Level.WARN
    assert doctor_checks.check_shared_memory(tmp_path / "no").level == Level.OK


# --- Ray


def test_cpus_are_those_that_this_process_may_use(monkeypatch):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert own_cpus() == 1
        assert doctor_checks.check_cpus().found == f"1 to use, of the machine's {os.cpu_count()}"
    finally:
        os.sched_setaffinity(0, allowed)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert own_cpus() == 1


@pytest.mark.parametrize(
    ("host", "mode", "level"),
    [
        ("0.0.0.0", "", Level.FAIL),
        ("0.0.0.0", "token", Level.WARN),
        ("::", "", Level.FAIL),
        ("127.0.0.1", "", Level.OK),
        ("127.0.0.2", "", Level.OK),
        ("::1", "", Level.OK),
    ],
)
def test_a_dashboard_that_others_reach(host, mode, level, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        port = listening.getsockname()[1]
        assert doctor_checks.listeners(port) == [host]
        finding = doctor_checks.check_dashboard(port)
    assert finding.level == level
    assert doctor_checks.listeners(port) == []


@pytest.mark.parametrize("form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_a_cluster_that_is_not_there_is_told_at_once(form, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", form.format(port=closed_port()))
    monkeypatch.setattr(cluster, "ray_session", None)  # Ray would try for two minutes
    finding = doctor_checks.check_cluster()
    assert finding.level == Level.FAIL
    assert "does not answer" in finding.found


def test_the_address_of_the_jobs_api_is_told(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert doctor_checks.check_cluster().level == Level.FAIL


def test_a_clusters_nodes_are_asked(ray_local, monkeypatch):
    import ray

    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    finding = doctor_checks.check_cluster()
    assert finding.level == Level.OK
    assert "1 nodes, 4 CPUs" in finding.found


# --- the network


@contextmanager
def answering(status: int):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.seen.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "level"), [(200, Level.OK), (404, Level.OK), (429, Level.FAIL), (503, Level.FAIL)]
)
def test_the_server_is_asked_once(status, level):
    with answering(status) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/{{ytid}}"
        finding = doctor.check_network(DoctorConfig(url))
        assert len(server.seen) == 1
    assert finding.level == level
    assert str(status) in finding.found


def test_a_server_that_is_not_there_is_a_fail():
    finding = doctor.check_network(DoctorConfig(f"http://127.0.0.1:{closed_port()}/{{ytid}}"))
    assert finding.level == Level.FAIL
    assert "connection" in finding.found


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
