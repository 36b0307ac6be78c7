"""Whether a job joins a cluster, and what a relative path means there.

`ray job submit` starts a job in a temporary folder of Ray's own, below which a relative path would
be written, and deleted with it; and no other node has that folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for the processes that `ray job submit` starts."""
_ABSOLUTE = re.compile(r"[/~]|[a-zA-Z][a-zA-Z0-9+.-]*://")
"""How paths and URIs begin that mean the same wherever a job runs."""


def is_submitted(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether this process was started by `ray job submit`."""
    return _SUBMITTED in environ


def is_on_cluster(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether a job was submitted to a cluster, or is to join one of other machines."""
    address = environ.get("RAY_ADDRESS", "local")
    return is_submitted(environ) or not (address == "local" or _is_loopback(address))


def relative_on_cluster(text: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return what is wrong with a path or URI on a cluster, and the cure; None if nothing is.

    >>> relative_on_cluster("out", {}), relative_on_cluster("/out", {"RAY_ADDRESS": "10.0.0.1:1"})
    (None, None)
    """
    if not is_on_cluster(environ):
        return None
    path = _path_in(text)
    if path is None or _ABSOLUTE.match(path):
        return None
    if is_submitted(environ):
        return (
            f"{text!r} is relative: in a submitted job that lies in a temporary folder of Ray's; "
            "give an absolute path that all nodes have, such as "
            f"/srv/{Path(path).name or 'data'}, or a URI such as s3://BUCKET/..."
        )
    return (
        f"{text!r} is relative, and the cluster's nodes have other folders; give the absolute "
        f"path, {Path(path).absolute()} if all nodes have that, or a URI such as s3://BUCKET/..."
    )


def _path_in(text: str) -> str | None:
    """Return a path or URI without the prefix of a source; None where that takes no path."""
    from pipeline.audio.fetching.fetch import (  # as late as can be: all jobs import this module
        IRMAS,
        NAMED,
    )

    for kind in NAMED:
        if text.startswith(kind.prefix):
            return kind.place(text)[1]
    return text.removeprefix(IRMAS)


def _is_loopback(address: str) -> bool:
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name, or "auto"
        return False
