"""What a job would stumble over: findings on a source, a folder and this machine.

The checks of the machine itself are in `doctor_checks.py`; here are those of the audio's way into
it. As there, a check imports itself what it needs.
"""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from pipeline.configs.doctor import DoctorConfig as DoctorConfig
from pipeline.errors import FetchFault, TimbreError
from pipeline.flows import doctor_checks
from pipeline.flows.doctor_checks import Finding, Level, judged, room_at
from pipeline.runs.joined import is_on_cluster, relative_on_cluster

STALE_DAYS = 60
"""YouTube changes monthly, and yt-dlp with it."""
OLDEST_DENO = (2, 3, 0)
"""The oldest that yt-dlp takes."""
NETWORK_TIMEOUT_S = 5.0
LOGIN_COOKIES = {"SAPISID", "__Secure-1PAPISID", "__Secure-3PAPISID"}
"""YouTube sees an account where one of these is there, as yt-dlp does."""


def checkup(config: DoctorConfig) -> Iterator[Finding]:
    """Yield one finding per check, as they come; a check that crashes is a FAIL, too."""
    for check in checks(config):
        name = check.func.__name__.removeprefix("check_").replace("_", "-")
        try:
            yield check()
        except TimbreError as error:
            yield Finding(name, Level.FAIL, str(error))
        except Exception as error:  # whatever is broken here is what was looked for
            yield Finding(
                name, Level.FAIL, f"{type(error).__name__}: {error}", doctor_checks.REINSTALL
            )


def checks(config: DoctorConfig) -> list[partial[Finding]]:
    """Return the checks that matter for a configuration, quick ones first."""
    youtube = [partial(check_javascript), partial(check_yt_dlp)]
    network = [partial(check_network, config)]
    return [
        partial(doctor_checks.check_python),
        partial(doctor_checks.check_packages),
        *(youtube if config.source == "youtube" else []),
        partial(check_ffmpeg),
        partial(check_decoding),
        partial(check_source, config),
        *([partial(check_cookies, config.cookies, config.source)] if config.cookies else []),
        *_placed(config),
        partial(doctor_checks.check_temp),
        partial(doctor_checks.check_shared_memory),
        partial(doctor_checks.check_cpus),
        partial(doctor_checks.check_dashboard),
        *([partial(doctor_checks.check_cluster)] if os.environ.get("RAY_ADDRESS") else []),
        partial(doctor_checks.check_torch),
        *([partial(doctor_checks.check_compiler)] if doctor_checks.has_card() else []),
        *(network if config.network else []),
    ]


def _placed(config: DoctorConfig) -> list[partial[Finding]]:
    """Return the checks of where results go: on a cluster, of what paths mean there, too."""
    if not is_on_cluster():
        return [partial(check_out, config.out or ".")]
    is_told = config.out is not None and relative_on_cluster(config.out) is None
    return [partial(check_paths, config), *([partial(check_out, str(config.out))] * is_told)]


def check_paths(config: DoctorConfig) -> Finding:
    """Look for relative paths, which on a cluster lead elsewhere than the user means."""
    given = {"--source": config.source, "--cookies": config.cookies, "--out": config.out}
    wrong = [
        f"{flag} {relative_on_cluster(text)}"
        for flag, text in given.items()
        if text and text != "youtube" and relative_on_cluster(text)
    ]
    if wrong:
        cure = "on a cluster the jobs refuse such a path"
        return Finding("paths", Level.FAIL, "; ".join(wrong), cure)
    if config.out is None:
        cure = "name --out: an absolute path that all nodes have, or a URI"
        return Finding("paths", Level.WARN, f"no --out, and {Path.cwd()} is this node's own", cure)
    return Finding("paths", Level.OK, "no relative ones, which a cluster has no place for")


def check_javascript() -> Finding:
    """Run the JavaScript runtime, and look for the scripts that yt-dlp gives it."""
    from pipeline.audio.fetching.remote_file import deno_exe

    cure = "pip install --upgrade 'yt-dlp[default,deno]'"
    deno = deno_exe()
    if deno is None:
        return Finding("javascript", Level.FAIL, "no deno: YouTube's players need it", cure)
    script = "console.log(Deno.version.deno)"
    answer = _output([deno, "run", "--no-prompt", "--no-remote", "--no-config", "-"], script)
    version = tuple(map(int, re.findall(r"\d+", answer)[:3]))
    solver = metadata.version("yt-dlp-ejs")
    found = f"deno {answer}, yt-dlp-ejs {solver}, {deno}"
    return Finding("javascript", *judged(version >= OLDEST_DENO, found, cure))


def check_yt_dlp(today: date | None = None) -> Finding:
    """Check how old the installed yt-dlp is."""
    version = metadata.version("yt-dlp")
    year, month, day = map(int, version.split(".")[:3])
    age_days = ((today or datetime.now(UTC).date()) - date(year, month, day)).days
    cure = "pip install --upgrade 'yt-dlp[default,deno]': YouTube changes monthly"
    found = f"{version}, {age_days} days old"
    return Finding("yt-dlp", *judged(age_days <= STALE_DAYS, found, cure, Level.WARN))


def check_ffmpeg() -> Finding:
    """Check that the ffmpeg binary runs."""
    from pipeline.audio.decoding.ffmpeg import ffmpeg_exe

    path = ffmpeg_exe()
    cure = "install ffmpeg, or pip install --force-reinstall imageio-ffmpeg"
    try:
        first = _output([path, "-version"]).partition(" Copyright")[0]
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("ffmpeg", Level.FAIL, f"{path} does not run: {error}", cure)
    return Finding("ffmpeg", *judged(first.startswith("ffmpeg version"), f"{first}, {path}", cure))


def check_decoding() -> Finding:
    """Encode a second of a tone as Opus and AAC, and decode it as a build does."""
    import av
    import numpy as np

    from pipeline.audio.decoding.decode import decode

    rate_hz = 48_000
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    wrong = []
    for codec, container in (("libopus", "ogg"), ("aac", "mp4")):
        samples = decode(encoded(tone, codec, container, rate_hz), sample_rate_hz=rate_hz)
        rms = float(np.sqrt(np.mean(samples[4800:-4800] ** 2)))
        if abs(len(samples) - rate_hz) > rate_hz // 20 or abs(rms - 0.177) > 0.02:
            wrong.append(f"{codec}: {len(samples)} samples of {rate_hz}, level {rms:.3f} of 0.177")
    found = f"PyAV {av.__version__}: {', '.join(wrong) or 'Opus and AAC come back'}"
    return Finding("decoding", *judged(not wrong, found, "pip install --force-reinstall av"))


def encoded(tone: object, codec: str, container: str, rate_hz: int) -> bytes:
    """Return mono samples, `[n_samples]`, as an encoded file."""
    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = cast(av.AudioStream, file.add_stream(codec, rate=rate_hz, layout="mono"))
        frame = av.AudioFrame.from_ndarray(np.asarray(tone)[None], format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(stream.format.name, "mono", rate_hz, stream.frame_size or 960)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(stream.encode(piece))
    return buffer.getvalue()


def check_source(config: DoctorConfig) -> Finding:
    """Open the source as a build does; no request is made."""
    from pipeline.audio.fetching.fetch import open_source

    source = open_source(config.source, replace(config, cookies=None).access())
    kind = "remote" if source.is_remote else "a folder"
    return Finding("source", Level.OK, f"{config.source}: {kind}")


def check_cookies(path: str, source: str) -> Finding:
    """Look at the cookie file: its form, who may read it, and what has expired."""
    from pipeline.audio.fetching.access import read_cookies

    cookies = read_cookies(path)
    mode = stat.S_IMODE(Path(path).expanduser().stat().st_mode)
    alive = [cookie for cookie in cookies if not cookie.is_expired(int(time.time()))]
    found = f"{path}: {len(cookies)} cookies, {len(alive)} not expired, mode {mode:04o}"
    fresh = "log in once more and export it again"
    if not alive:
        return Finding("cookies", Level.FAIL, found, fresh)
    if mode & 0o077:
        return Finding("cookies", Level.WARN, f"{found}: others may read it", f"chmod 600 {path}")
    is_login = any(c.name in LOGIN_COOKIES and c.domain.endswith("youtube.com") for c in alive)
    if source == "youtube" and not is_login:
        found = f"{found}; none that logs in at youtube.com, so YouTube sees a guest"
        return Finding("cookies", Level.WARN, found, fresh)
    return Finding("cookies", Level.OK, found)


def check_out(uri: str) -> Finding:
    """Try to write where the results go, and look at the room."""
    from pipeline.store.folder import Folder

    folder = Folder(uri)
    if folder.is_local:
        return room_at("out", folder.local_path(""))
    n_files = len(folder.names("", suffix=""))
    return Finding("out", Level.OK, f"{uri}: opens, {n_files} entries; room is not measured")


def check_network(config: DoctorConfig) -> Finding:
    """Ask the source's server for one page."""
    from pipeline.audio.fetching.remote_file import ask

    if config.source != "youtube" and "://" not in config.source:
        return Finding("network", Level.OK, "a folder needs none")
    parts = urlsplit(config.source)
    is_youtube = config.source == "youtube"
    url = "https://www.youtube.com/robots.txt" if is_youtube else f"{parts.scheme}://{parts.netloc}"
    access = replace(config.access(), cookies=None, socket_timeout_s=NETWORK_TIMEOUT_S)
    cure = "mend the line, or try --proxy"
    try:
        status = ask(url, access)
    except FetchFault as fault:
        return Finding("network", Level.FAIL, f"{url}: {fault}", cure)
    good = status < 400 or (status in (401, 404, 405) and not is_youtube)
    cure = "the server keeps us out: wait, try --cookies or another address"
    return Finding("network", *judged(good, f"{url} answers {status}", cure))


def _output(command: list[str], stdin: str = "") -> str:
    """Run a program; return what it prints, and raise with what it complains of."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        raise OSError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()
