"""An address in, a file on this machine out: what was broken off goes on, what is there stays."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential
from tqdm import tqdm

from pipeline.errors import SourceUnreachable, UsageError
from pipeline.store.folder import Folder

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 16  # what a break costs at most
_ATTEMPTS = 4
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


def cache_folder() -> Path:
    """Return where downloaded weights are kept: `timbre/weights` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timbre" / "weights"


def download(url: str, folder: Path, *, sha256: str | None, instead: str) -> Path:
    """Return the file at an address, in `folder`; one that is there whole is not fetched again.

    Parameters
    ----------
    url
        http or https.
    folder
        A partial file stays in it as `NAME.part`, and the next call fetches what it lacks.
    sha256
        Of the file's bytes; None where nobody knows it.
    instead
        What to do where the file can't be had, for the message.

    Raises
    ------
    SourceUnreachable
        Where nothing came, several times over.
    UsageError
        Where the server has no such file, or it is not the one of that sha256; then it is deleted.
    """
    target = folder / file_name(url)
    if target.is_file() and sha256 in (None, file_sha256(target)):
        return target
    with Folder(str(folder)).claimed():
        partial = target.with_name(f"{target.name}.part")
        _fetch(url, partial, instead)
        if sha256 is not None and (found := file_sha256(partial)) != sha256:
            partial.unlink()
            raise UsageError(f"{url}: sha256 {found}, expected {sha256}; {instead}")
        partial.replace(target)
    return target


def file_name(url: str) -> str:
    """Return the name of the file at an address, unescaped.

    >>> file_name("https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth?download=1")
    'Cnn14_mAP=0.431.pth'
    """
    return unquote(urlsplit(url).path.rpartition("/")[2]).rpartition("/")[2] or "weights"


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str, partial: Path, instead: str) -> None:
    attempts = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=0.25, max=4),
        retry=retry_if_exception_type(_BROKEN),
    )
    try:
        attempts(_fetch_rest, url, partial)
    except RetryError as error:
        cause = error.last_attempt.exception()
        raise SourceUnreachable(f"{url}: {type(cause).__name__}; {instead}") from cause
    except requests.RequestException as error:  # an address that is none, a refusal
        raise UsageError(f"{url}: {error}; {instead}") from error


def _fetch_rest(url: str, partial: Path) -> None:
    """Fetch what a partial file lacks; without ranges at the server, all of it."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # it was whole: killed before it got its name
            partial.unlink()
            raise requests.ConnectionError("the partial file is longer than the file")
        response.raise_for_status()
        is_rest = response.status_code == requests.codes.partial_content
        have = have if is_rest else 0
        length = response.headers.get("Content-Length")
        n_bytes = None if length is None else have + int(length)
        bar = tqdm(desc=partial.stem, total=n_bytes, initial=have, unit="B", unit_scale=True,
                   disable=None)  # fmt: skip
        with bar, partial.open("ab" if is_rest else "wb") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
    if n_bytes is not None and partial.stat().st_size < n_bytes:
        raise requests.ConnectionError("it broke off")
