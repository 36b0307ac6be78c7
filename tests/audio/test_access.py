"""Cookies, proxies and addresses as a server sees them, and what must never show."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.audio.fetching import remote_file
from pipeline.audio.fetching.access import Access, read_cookies
from pipeline.audio.fetching.fetch import TemplateSource, YoutubeSource, open_source
from pipeline.audio.fetching.remote_file import Meter, ask, deno_exe
from pipeline.errors import ConfigurationFault, FetchFault, Reason, UsageError

ROOT = Path(__file__).parents[2]
SECRET = "s3cr3t-of-the-session"
HEADER = "# Netscape HTTP Cookie File"
FAR = 4_000_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers), self.client_address[0]))
        is_for_another = self.path.startswith("http://")  # as a proxy is asked
        if is_for_another and self.server.status == 200:
            with urllib.request.urlopen(self.path) as answer:
                self.answer(answer.read())
        else:
            self.answer(self.server.body)

    def answer(self, body: bytes) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        for header in self.server.headers:
            self.send_header(*header)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    """Answers every GET with `body`, or fetches what a proxy is asked for; remembers the asking."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, dict[str, str], str]] = []
        self.body = b"x" * 1000
        self.headers: list[tuple[str, str]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None: ...  # a killed client

    def cookies_seen(self) -> list[str]:
        return [headers.get("Cookie", "") for _, headers, _ in self.seen]


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server():
    with serving() as started:
        yield started


@pytest.fixture
def proxy():
    with serving() as started:
        yield started


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "cookies.txt"
    path.write_text(
        f"{HEADER}\n# a comment\n\n"
        f"127.0.0.1\tFALSE\t/\tFALSE\t{FAR}\tSID\t{SECRET}\n"
        f"#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tSESSION\tends\n"
        f".example.com\tTRUE\t/\tFALSE\t{FAR}\tOTHER\tstays\n"
    )
    path.chmod(0o400)  # read only: whoever writes it back is told
    return path


def get(source: TemplateSource, ytid: str = "id") -> bytes:
    with source.open(ytid, Meter()) as file:
        return file.read()


# --- cookies


def test_cookies_reach_their_server_and_the_file_stays_as_it_is(server, jar):
    before, times = jar.read_bytes(), jar.stat()
    server.headers = [("Set-Cookie", f"ROTATED={SECRET}-2; Path=/")]
    source = open_source(f"{server.url}/{{ytid}}", Access(cookies=str(jar)))
    assert get(source) == server.body
    assert get(source) == server.body
    first, second = server.cookies_seen()
    assert f"SID={SECRET}" in first
    assert "SESSION=ends" in first
    assert "OTHER" not in first  # another site's
    assert f"ROTATED={SECRET}-2" in second
    source._network._local.ydl.close()  # yt-dlp writes a file back here, if it has one
    assert jar.read_bytes() == before
    assert jar.stat().st_mtime_ns == times.st_mtime_ns
    assert jar.stat().st_ino == times.st_ino


def test_each_thread_has_cookies_of_its_own(server, jar):
    server.headers = [("Set-Cookie", f"ROTATED={SECRET}-2; Path=/")]
    source = open_source(f"{server.url}/{{ytid}}", Access(cookies=str(jar)))
    for _ in range(2):
        thread = threading.Thread(target=get, args=(source,))
        thread.start()
        thread.join()
    assert [f"SID={SECRET}" in cookies for cookies in server.cookies_seen()] == [True, True]
    assert ["ROTATED" in cookies for cookies in server.cookies_seen()] == [False, False]


def test_a_renewed_session_keeps_its_cookies(server, jar, monkeypatch):
    monkeypatch.setattr(remote_file, "RENEW_AFTER_ITEMS", 2)
    server.headers = [("Set-Cookie", "ROTATED=yes; Path=/")]
    source = open_source(f"{server.url}/{{ytid}}", Access(cookies=str(jar)))
    sessions = []
    for _ in range(5):
        get(source)
        sessions.append(id(source._network._local.ydl))
    assert sessions[0] == sessions[1] != sessions[2] == sessions[3] != sessions[4]
    assert all(f"SID={SECRET}" in cookies for cookies in server.cookies_seen())
    assert ["ROTATED=yes" in cookies for cookies in server.cookies_seen()] == [False] + [True] * 4


def test_nothing_of_the_cookies_is_left_on_a_disk(server, jar, tmp_path):
    """A killed worker cleans nothing up, so there must be nothing to clean up."""
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import os, signal, sys\n"
        "from pipeline.audio.fetching.fetch import *\n"
        "from pipeline.audio.fetching.remote_file import Meter\n"
        "source = open_source(sys.argv[1], Access(cookies=sys.argv[2]))\n"
        "with source.open('id', Meter()) as file: file.read()\n"
        "print('got it', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {
        **os.environ,
        "TMPDIR": str(home),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, f"{server.url}/{{ytid}}", str(jar)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "got it\n"
    assert f"SID={SECRET}" in server.cookies_seen()[0]
    assert SECRET not in done.stderr
    left = [path for path in home.rglob("*") if path.is_file()]
    assert [path for path in left if SECRET.encode() in path.read_bytes()] == []


WRONG = {
    "json": json.dumps([{"name": "SID", "value": SECRET}]),
    "no header": f"127.0.0.1\tFALSE\t/\tFALSE\t0\tSID\t{SECRET}\n",
    "empty": "",
    "spaces for tabs": f"{HEADER}\n127.0.0.1 FALSE / FALSE 0 SID {SECRET}\n",
    "a field short": f"{HEADER}\n127.0.0.1\tFALSE\t/\tFALSE\t0\t{SECRET}\n",
    "dot and flag differ": f"{HEADER}\n127.0.0.1\tTRUE\t/\tFALSE\t0\tSID\t{SECRET}\n",
    "expiry in words": f"{HEADER}\n127.0.0.1\tFALSE\t/\tFALSE\tnever\tSID\t{SECRET}\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_cookie_file_is_told_at_the_start_and_not_shown(name, tmp_path, capfd):
    path = tmp_path / "cookies.txt"
    path.write_text(WRONG[name])
    with pytest.raises(UsageError, match=r"--cookies .*cookies\.txt.*Netscape") as caught:
        open_source("youtube", Access(cookies=str(path)))
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any(SECRET in str(error) for error in chain)
    assert SECRET not in "".join(capfd.readouterr())
    if "\t" in WRONG[name] and name != "no header":
        assert "cookies.txt:2: " in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.txt", "."])
def test_a_cookie_file_that_is_not_there_is_told_at_the_start(name, tmp_path):
    with pytest.raises(UsageError, match=r"--cookies .*expected a Netscape"):
        open_source("http://x/{ytid}", Access(cookies=str(tmp_path / name)))


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "c").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text"):
        read_cookies(str(tmp_path / "c"))


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(jar, tmp_path):
    other = tmp_path / "windows.txt"
    other.write_bytes(b"\xef\xbb\xbf" + jar.read_bytes().replace(b"\n", b"\r\n"))
    found = [[(c.domain, c.name, c.value, c.expires) for c in read_cookies(str(p))]
             for p in (jar, other)]  # fmt: skip
    assert found[0] == found[1]
    assert len(found[0]) == 3
    assert dict((name, expires) for _, name, _, expires in found[0]) == {
        "SID": FAR, "SESSION": None, "OTHER": FAR,
    }  # fmt: skip


def test_access_travels_without_the_cookies(jar):
    access = Access(cookies=str(jar), proxy="http://me:p%40ss@127.0.0.1:1")
    assert pickle.loads(pickle.dumps(access)) == access
    assert SECRET.encode() not in pickle.dumps(access)
    assert SECRET not in repr(access)


# --- proxy


def test_the_proxy_is_asked(server, proxy):
    source = open_source(f"{server.url}/{{ytid}}", Access(proxy=proxy.url))
    server.body = b"through the proxy"
    assert get(source) == b"through the proxy"
    ((asked, _, _),) = proxy.seen
    assert asked == f"{server.url}/id"


def test_the_password_reaches_the_proxy_and_nothing_else(server, proxy):
    access = Access(proxy=proxy.url.replace("//", "//me:p%40ss-w0rd@"))
    get(open_source(f"{server.url}/{{ytid}}", access))
    assert proxy.seen[0][1]["Proxy-Authorization"].startswith("Basic ")
    for form in ("p%40ss-w0rd", "p@ss-w0rd"):
        assert form not in repr(access)
        assert form not in access.redacted(f"cannot ask http://me:{form}@host: {form}")
    assert "me:***@127.0.0.1" in repr(access)


def test_a_proxy_that_is_not_there_stops_the_run_without_its_password():
    access = Access(proxy=f"http://me:p%40ss-w0rd@127.0.0.1:{closed_port()}")
    with pytest.raises(ConfigurationFault, match="--proxy") as caught:
        get(TemplateSource("http://127.0.0.1:9/{ytid}", access))
    assert "ss-w0rd" not in chain_text(caught.value)


def test_a_proxy_that_wants_another_password_stops_the_run(proxy):
    """Else every item would end as an error of its own."""
    proxy.status = 407
    access = Access(proxy=proxy.url.replace("//", "//me:p%40ss-w0rd@"))
    with pytest.raises(ConfigurationFault, match=r"407.*--proxy") as caught:
        get(TemplateSource("http://127.0.0.1:9/{ytid}", access))
    assert "ss-w0rd" not in chain_text(caught.value)


@pytest.mark.parametrize("is_row", [False, True])
def test_a_message_that_holds_the_password_loses_it_with_all_behind_it(is_row):
    """yt-dlp's messages do not hold it today; should one, neither row nor traceback has it."""
    access = Access(proxy="http://me:p%40ss-w0rd@127.0.0.1:1")
    text = "ERROR: no answer of me:p@ss-w0rd (p%40ss-w0rd)"
    error = remote_file.YoutubeDLError(text) if is_row else remote_file.YoutubeDLError("x")
    if not is_row:
        error.__cause__ = fault_cause(text)
    with pytest.raises((FetchFault, ConfigurationFault)) as caught:
        with remote_file.Network(access).asking(Meter()):
            raise error
    assert "ss-w0rd" not in chain_text(caught.value)
    assert "ss-w0rd" not in getattr(caught.value, "detail", "")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert "ss-w0rd" not in str(copy)


def fault_cause(text: str) -> Exception:
    from yt_dlp.networking.exceptions import ProxyError

    return ProxyError(text)


def chain_text(error: BaseException | None) -> str:
    """Return what a traceback prints of the errors."""
    import traceback

    return "".join(traceback.format_exception(error)) if error else ""


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "host:80",
        "ftp://me:secret@host:80",
        "http://",
        "http://me:secret@host:99999",
        "http://me:sec/ret@host:80",
        "http://me:secret@[bad",
    ],
)
def test_a_wrong_proxy_is_told_and_not_shown(proxy):
    with pytest.raises(UsageError, match=r"--proxy: .*http://host:port") as caught:
        Access(proxy=proxy)
    assert "secret" not in chain_text(caught.value)
    assert "sec/ret" not in str(caught.value)


# --- address, timeout


def test_the_server_is_asked_from_the_source_address(server):
    get(open_source(f"{server.url}/{{ytid}}", Access(source_address="127.0.0.2")))
    get(open_source(f"{server.url}/{{ytid}}"))
    assert [peer for _, _, peer in server.seen] == ["127.0.0.2", "127.0.0.1"]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_told_at_the_start(address):
    with pytest.raises(UsageError, match=f"--source-address {address}.*of this machine"):
        open_source("youtube", Access(source_address=address))


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1:80"])
def test_an_address_that_is_none_is_told(address):
    with pytest.raises(UsageError, match="--source-address"):
        Access(source_address=address)


def test_a_silent_server_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{{ytid}}"
        with pytest.raises(FetchFault) as caught:
            get(TemplateSource(url, Access(socket_timeout_s=0.2)))
    assert caught.value.reason == Reason.TIMEOUT


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_is_more_than_nothing(timeout_s):
    with pytest.raises(UsageError, match="socket timeout"):
        Access(socket_timeout_s=timeout_s)


# --- sources


def test_a_folder_needs_no_access(tmp_path):
    assert not open_source(str(tmp_path)).is_remote
    assert open_source("http://x/{ytid}").is_remote
    assert open_source("youtube").is_remote
    for given in ({"proxy": "http://x:1"}, {"source_address": "127.0.0.1"}, {"cookies": "x"}):
        with pytest.raises(UsageError, match="is a folder"):
            open_source(str(tmp_path), Access(**given))


def test_irmas_is_opened_by_the_ids_of_its_files(make_wav, tmp_path):
    from pipeline.selection.irmas import irmas_id

    wav = make_wav("irmas/cel/[cel][cla]0001__1.wav", 0.1, 440)
    source = open_source(f"irmas:{tmp_path / 'irmas'}")
    assert not source.is_remote
    meter = Meter()
    with source.open(irmas_id("cel/[cel][cla]0001__1.wav"), meter) as file:
        assert file.read() == wav.read_bytes()
    assert meter.bytes_fetched == meter.bytes_whole == wav.stat().st_size
    with pytest.raises(FetchFault) as caught, source.open("other", Meter()):
        pass
    assert caught.value.reason == Reason.NOT_FOUND
    with pytest.raises(UsageError, match="irmas:FOLDER"):
        open_source("irmas:/nowhere")


def test_a_whole_body_is_not_read_without_bound(server, monkeypatch):
    monkeypatch.setattr(remote_file, "MAX_WHOLE_BYTES", 3 << 20)
    server.body = bytes(64 << 20)
    meter = Meter()
    with pytest.raises(FetchFault) as caught:
        with TemplateSource(f"{server.url}/{{ytid}}", Access()).open("id", meter):
            pass
    assert caught.value.reason == Reason.TOO_LONG
    assert 3 << 20 < meter.bytes_fetched <= 4 << 20
    server.body = bytes(3 << 20)  # the bound itself is allowed
    assert len(get(TemplateSource(f"{server.url}/{{ytid}}", Access()))) == 3 << 20


def test_ask_says_what_a_server_answers(server):
    assert ask(server.url, Access()) == 200
    with pytest.raises(FetchFault) as caught:
        ask(f"http://127.0.0.1:{closed_port()}/", Access(socket_timeout_s=1))
    assert caught.value.reason == Reason.CONNECTION


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


# --- the JavaScript runtime


def test_yt_dlp_finds_denos_wheel_without_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("deno") is None
    runtime = YoutubeSource(Access())._network.ydl_for_item()._js_runtimes["deno"]
    assert runtime.info.supported
    assert runtime.info.path == deno_exe()
    answer = subprocess.run(
        [deno_exe(), "run", "--no-config", "-"], input="console.log(6 * 7)",
        capture_output=True, text=True, env={"HOME": str(tmp_path)},
    )  # fmt: skip
    assert answer.stdout == "42\n"


def test_without_the_wheel_the_path_is_searched(monkeypatch, tmp_path):
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(remote_file, "import_module", gone)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert deno_exe() is None
    other = tmp_path / "deno"
    other.write_text("#!/bin/sh\necho 'deno 2.4.0 (stable)'\n")
    other.chmod(0o755)
    assert deno_exe() == str(other)
    assert (
        YoutubeSource(Access())._network.ydl_for_item()._js_runtimes["deno"].info.path == deno_exe()
    )
